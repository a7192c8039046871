// The developer's pages: forms that sign with WebCrypto and send to this service. A secret is read
// from its field when something is signed, and goes nowhere else: into no storage, address, log or
// request. A service key is sent as what it is, in `Authorization`.

const utf8 = new TextEncoder();
const field = (id) => document.getElementById(id);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const base64url = (bytes) => base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
const seconds = () => Math.floor(Date.now() / 1000);

// What the reader has to do before anything can be sent.
class Unready extends Error {}

function entered(id) {
  const input = field(id);
  if (input.value) return input.value;
  input.focus();
  throw new Unready(`Enter the ${input.labels[0].textContent.toLowerCase()} at the top of the page.`);
}

async function hmac(secret, text) {
  const made = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', utf8.encode(secret), made, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, utf8.encode(text)));
}

async function sha256(file) {
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer())));
}

// The headers that prove who sends this text.
const PROOF = {
  async signed(text) {
    const secret = entered('webhook-secret');
    if (field('scheme').value === 'spark') return { 'X-Spark-Signature': hex(await hmac(secret, text)) };
    const id = `msg_${crypto.randomUUID()}`;
    const time = String(seconds());
    const signature = `v1,${base64(await hmac(secret, `${id}.${time}.${text}`))}`;
    return { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature };
  },
  key: () => ({ Authorization: `Bearer ${entered('service-key')}` }),
  open: () => ({}),
};

async function launchToken(claims) {
  const secret = entered('sso-secret');
  const parts = [{ alg: 'HS256', typ: 'JWT' }, parsed(claims)];
  const text = parts.map((part) => base64url(utf8.encode(JSON.stringify(part)))).join('.');
  return `${text}.${base64url(await hmac(secret, text))}`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Unready(`This is no JSON: ${error.message}`);
  }
}

function freshened(text) {
  const at = (moved) => String(seconds() + moved);
  return text
    .replace(/("(?:submitted_at|sent_at)":\s*)"[^"]*"/g, `$1"${new Date().toISOString()}"`)
    .replace(/("iat":\s*)\d+/g, (_, name) => name + at(0))
    .replace(/("exp":\s*)\d+/g, (_, name) => name + at(600))
    .replace(/("jti":\s*)"[^"]*"/g, (_, name) => `${name}"${crypto.randomUUID()}"`);
}

// What is to be sent: address, method, headers, body, and the body as it is shown.
async function request(form) {
  const values = (place) => [...form.querySelectorAll(`[data-place="${place}"]`)]
    .filter((input) => (input.type === 'checkbox' ? input.checked : input.value))
    .map((input) => [input.dataset.name, input.value]);
  const text = form.querySelector('[data-body]');
  if (text && form.querySelector('[data-fresh]')?.checked) text.value = freshened(text.value);
  const parts = Object.fromEntries(values('path'));
  const path = form.dataset.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name]));
  const query = new URLSearchParams(values('query'));
  const message = { method: form.dataset.method, headers: Object.fromEntries(values('header')) };
  if (form.dataset.caller === 'launch') return launch(message, path, await launchToken(text.value));
  await write(message, text?.value, form.querySelector('[data-files]'));
  Object.assign(message.headers, await PROOF[form.dataset.caller](message.text ?? ''));
  return { ...message, url: path + (query.size ? `?${query}` : '') };
}

function launch(message, path, token) {
  if (message.method === 'GET') return { link: `${location.origin}${path}?token=${token}` };
  const body = new URLSearchParams({ token });
  return { ...message, url: `${path}?dry_run=true`, body, text: String(body) };
}

async function write(message, text, chosen) {
  const files = [...(chosen?.files ?? [])];
  if (files.length && chosen.dataset.files === 'application/octet-stream') {
    message.headers['Content-Type'] = 'application/octet-stream';
    message.body = files[0];
  } else if (files.length) {
    message.body = new FormData();
    if (text !== undefined) {
      const listed = files.map(async (file) => ({ name: file.name, sha256: await sha256(file), size: file.size }));
      message.text = JSON.stringify({ ...parsed(text), files: await Promise.all(listed) });
      message.body.append('metadata', message.text);
    }
    files.forEach((file) => message.body.append('file', file));
  } else if (text !== undefined) {
    message.headers['Content-Type'] = 'application/json';
    message.body = message.text = text;
  }
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const block = (text) => copied(element('pre', {}, element('code', { textContent: text })));

// What is copied from stands in a box, with a button where the browser lets a page copy.
function copied(code) {
  code.tabIndex = 0; // a long line is scrolled by keyboard, too
  const button = element('button', { type: 'button', className: 'copy', textContent: 'Copy' });
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
  });
  const box = element('div', { className: 'copied' }, ...(navigator.clipboard ? [button] : []));
  code.replaceWith(box);
  box.append(code);
  return box;
}

function written(message) {
  const headers = Object.entries(message.headers).map(([name, value]) =>
    `${name}: ${name === 'Authorization' ? 'Bearer …' : value}`);
  const form = message.body instanceof FormData;
  const type = form ? ['Content-Type: multipart/form-data'] : [];
  const files = form ? message.body.getAll('file').map((file) => `\nfile: ${file.name}`) : [];
  const body = (form && message.text ? 'metadata: ' : '') + (message.text ?? '');
  return [`${message.method} ${message.url}`, ...headers, ...type, '', body].join('\n') + files.join('');
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function advice(problem) {
  const found = element('p', {}, element('b', { textContent: problem.error ?? problem.title }));
  const said = [found, ...(problem.hint ? [element('p', { textContent: problem.hint })] : [])];
  const about = element('a', { href: `/problems/${encodeURIComponent(problem.code)}`, textContent: problem.code });
  return element('div', { className: 'notice bad' }, element('div', {}, ...said, element('p', {}, about)));
}

async function answered(message) {
  const began = performance.now();
  const { method, headers, body } = message;
  const answer = await fetch(message.url, { method, headers, body, credentials: 'omit', redirect: 'manual' });
  const kind = answer.headers.get('Content-Type') ?? '';
  const text = /json|text/.test(kind) ? await answer.text() : `${(await answer.blob()).size} bytes ${kind}`;
  const status = element('span', { className: `badge ${answer.ok ? 'good' : 'bad'}`, textContent: answer.status });
  const took = element('small', { textContent: `${Math.round(performance.now() - began)} ms` });
  const sent = element('details', {}, element('summary', { textContent: 'What was sent' }), block(written(message)));
  const problem = kind.startsWith('application/problem+json') ? [advice(JSON.parse(text))] : [];
  return [element('p', { className: 'row' }, status, took), ...problem, block(indented(text)), sent];
}

async function send(form) {
  try {
    const message = await request(form);
    if (!message.link) return await answered(message);
    const open = element('a', { href: message.link, target: '_blank', rel: 'noopener noreferrer', textContent: 'Open it' });
    return [element('p', {}, open, ' within ten minutes, or give it to a browser:'), block(message.link)];
  } catch (error) {
    const said = error instanceof Unready ? error.message : 'No answer: the service cannot be reached.';
    return [element('p', { className: 'notice warn', textContent: said })];
  }
}

for (const form of document.querySelectorAll('form')) {
  form.hidden = false;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const result = form.querySelector('.result');
    if (!result) return;
    const button = form.querySelector('button');
    button.disabled = true;
    result.replaceChildren(...await send(form));
    button.disabled = false;
  });
}

if (!window.isSecureContext && field('insecure')) field('insecure').hidden = false;

document.querySelectorAll('main pre').forEach(copied);

// An address of an operation opens it; an open one is in the address.
function openNamed() {
  const named = location.hash ? field(location.hash.slice(1)) : null;
  if (named?.matches('details')) named.open = true;
  named?.scrollIntoView();
}
addEventListener('hashchange', openNamed);
openNamed();
