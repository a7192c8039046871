// Hands homework in at Optio, or sends another message, signed alike. Copy it and change what you
// need: Node 18 or newer, no packages.
//
//   node submit.mjs [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
//   node submit.mjs [--dry-run] --to ROUTE JSON
//
// ROUTE is course, roster, deliveries, deliveries/replay or ping. OPTIO_URL and OPTIO_WEBHOOK_SECRET
// come from the environment. Prints Optio's answer and exits with 0, or says what to change and exits
// with 1; an attempt that is repeated is a line.
import { createHash, createHmac, randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const { OPTIO_URL, OPTIO_WEBHOOK_SECRET } = process.env;
const ATTEMPTS = 8; // in some two minutes; your job queue may go on for 7 days

function refuse(why) {
  console.error(`${why}
node submit.mjs [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
node submit.mjs [--dry-run] --to ROUTE JSON`);
  process.exit(2);
}

const args = process.argv.slice(2);
const dryRun = args[0] === '--dry-run' && args.shift() === '--dry-run';
const [route, message] = args[0] === '--to' ? args.splice(0).slice(1) : ['submission'];
const [student, course, assignment, text, ...paths] = args;
if (!OPTIO_URL || !OPTIO_WEBHOOK_SECRET) refuse('Set OPTIO_URL and OPTIO_WEBHOOK_SECRET.');
if (!/^https?:\/\/[^/]/.test(OPTIO_URL)) refuse('OPTIO_URL begins with https:// or http://.');
if (student?.startsWith('--') || (message ?? text) === undefined) refuse('These arguments do not fit:');

async function describe(path) {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of fs.createReadStream(path)) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { name: basename(path), sha256: hash.digest('hex'), size };
}

async function write() {
  const files = await Promise.all(paths.map(describe)).catch((error) => refuse(error.message));
  return JSON.stringify({
    spark_user_id: student, spark_course_id: course, spark_assignment_id: assignment,
    submission_text: text, submitted_at: new Date().toISOString(), files,
  });
}

// The key is the secret as literal text. The id stays, the time is that of this attempt.
function sign(id, content) {
  const time = `${Math.floor(Date.now() / 1000)}`;
  const mac = createHmac('sha256', OPTIO_WEBHOOK_SECRET).update(`${id}.${time}.${content}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1,${mac}` };
}

// This is Node's own FormData: that of the package form-data cannot be given to fetch. It may take
// as much memory as the files, which is at most 200 MiB.
async function makeForm(content) {
  const form = new FormData();
  form.append('metadata', content); // first: a wrong signature is answered before the files travel
  for (const [index, path] of paths.entries()) {
    const blob = fs.openAsBlob ? await fs.openAsBlob(path) : new Blob([await fs.promises.readFile(path)]);
    form.append(`file${index}`, blob, basename(path));
  }
  return form;
}

async function send(id, content) {
  const headers = sign(id, content);
  if (paths.length === 0) headers['Content-Type'] = 'application/json'; // FormData sets its own
  const url = `${OPTIO_URL.replace(/\/$/, '')}/spark/webhook/${route}${dryRun ? '?dry_run=true' : ''}`;
  const body = paths.length === 0 ? content : await makeForm(content);
  try {
    const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual' });
    const retryAfter = Number(response.headers.get('retry-after'));
    return { status: response.status, retryAfter, text: await response.text() };
  } catch (error) { // no answer: it may have arrived all the same, so the same id goes again
    return { status: 0, text: error.cause?.message || error.cause?.code || error.message };
  }
}

function read({ status, text }) {
  try {
    const said = JSON.parse(text);
    if (status === 200 || said.request_id) return said;
  } catch { /* no JSON */ }
  return { code: 'no_answer_of_optio', error: text.slice(0, 200) }; // a proxy's words, or the network's
}

async function deliver(id, content) {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await send(id, content);
    const { status } = answer;
    const { code, error } = read(answer);
    const again = [0, 408, 429].includes(status) || status >= 500 || code === 'request_in_progress';
    if (!again || dryRun || attempt === ATTEMPTS) return answer;
    const seconds = answer.retryAfter || 2 ** (attempt - 1) + Math.random();
    console.error(`attempt ${attempt}: ${status} ${code}: ${error}; again in ${Math.ceil(seconds)} s`);
    await sleep(1000 * seconds);
  }
}

// Keep both with your job, so that a retry is the same message.
const id = `msg_${randomUUID()}`;
const content = message ?? (await write());
const answer = await deliver(id, content);
const said = read(answer);
const taken = answer.status === 200 && !said.code;
if (taken) console.log(answer.text);
else console.error(`${answer.status} ${said.code}: ${said.error}\n${said.hint ?? ''}\nwebhook-id: ${id}`);
for (const { file, spark_user_id: who, code } of said.errors ?? []) console.error(`${file ?? who}: ${code}`);
for (const { field, detail } of said.warnings ?? []) console.error(`warning: ${field}: ${detail}`);
process.exitCode = taken && said.would !== 'refuse' ? 0 : 1;
