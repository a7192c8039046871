// Spark's Node client as it has run for years: it knows the written contract, and only the host
// has changed. Built-ins of Node 20 only. Prints {status, body} on one line, for submissions with
// the `message` it would log and the number of `attempts`.
//
//   node spark_client.mjs sso | submit-json | submit-multipart | submit-multipart-native
//                         | submit-guide-sample
//
// Read from the environment: OPTIO_URL, OPTIO_SHARED_SECRET, OPTIO_WEBHOOK_SECRET,
// SPARK_USER_ID, and for submissions SPARK_ASSIGNMENT_ID, SPARK_COURSE_ID, SUBMITTED_AT.
import { createHmac, randomInt } from 'node:crypto';
import http from 'node:http';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const { env } = process;
const WEBHOOK = new URL('/spark/webhook/submission', env.OPTIO_URL);
const RETRIES = 3;

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const FILES = [
  { name: 'Café drawing.png', type: 'image/png', bytes: PIXEL },
  { name: 'calculator.py', type: 'text/plain', bytes: Buffer.from('print(6 * 7)\n') },
];

// ---------------------------------------------------------------------------- signing in

const base64url = (value) => Buffer.from(value).toString('base64url');

function launchToken() {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: env.SPARK_USER_ID,
    email: `student-${env.SPARK_USER_ID}@spark.example.org`,
    given_name: 'Zoë',
    family_name: "O'Neil",
    role: 'student',
    iat: now,
    exp: now + 600,
  };
  const head = base64url(JSON.stringify({ alg: 'HS256', typ: 'JWT' }));
  const unsigned = `${head}.${base64url(JSON.stringify(claims))}`;
  return `${unsigned}.${createHmac('sha256', env.OPTIO_SHARED_SECRET).update(unsigned).digest('base64url')}`;
}

async function signIn() {
  const launch = await fetch(`${env.OPTIO_URL}/spark/sso?token=${launchToken()}`, { redirect: 'manual' });
  if (launch.status !== 302) return answerOf(launch);
  const code = new URL(launch.headers.get('location')).searchParams.get('code');
  const exchange = await fetch(`${env.OPTIO_URL}/spark/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ code }),
  });
  return answerOf(exchange);
}

// ---------------------------------------------------------------------------- submissions

function submission() {
  return JSON.stringify({
    spark_user_id: env.SPARK_USER_ID,
    spark_assignment_id: env.SPARK_ASSIGNMENT_ID,
    spark_course_id: env.SPARK_COURSE_ID,
    submission_text: 'Café notes, see http://example.org/a/b ✓',
    submitted_at: env.SUBMITTED_AT ?? new Date().toISOString(),
    grade: null,
  });
}

const signature = (text) => createHmac('sha256', env.OPTIO_WEBHOOK_SECRET).update(text).digest('hex');

async function submitJson() {
  const body = submission();
  return answerOf(
    await fetch(WEBHOOK, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Spark-Signature': signature(body) },
      body,
    }),
  );
}

// What the npm package form-data put on the wire: several files under one name, and, because it
// was piped, Transfer-Encoding: chunked with no Content-Length.
function submitMultipart() {
  const metadata = submission();
  const boundary = '-'.repeat(26) + Array.from({ length: 24 }, () => randomInt(10)).join('');
  function* encoded() {
    yield `--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n`;
    yield `${metadata}\r\n`;
    for (const file of FILES) {
      yield `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="${file.name}"\r\n`;
      yield `Content-Type: ${file.type}\r\n\r\n`;
      yield file.bytes;
      yield '\r\n';
    }
    yield `--${boundary}--\r\n`;
  }
  return new Promise((resolve, reject) => {
    const request = http.request(WEBHOOK, {
      method: 'POST',
      headers: {
        'Content-Type': `multipart/form-data; boundary=${boundary}`,
        'X-Spark-Signature': signature(metadata),
      },
    });
    request.on('error', reject);
    request.on('response', async (response) => {
      const body = Buffer.concat(await response.toArray()).toString();
      resolve({ status: response.statusCode, body: parsed(body) });
    });
    Readable.from(encoded()).pipe(request);
  });
}

// FormData of Node itself; a Blob without a type goes out as application/octet-stream.
async function submitMultipartNative() {
  const metadata = submission();
  const form = new FormData();
  form.append('metadata', metadata);
  FILES.forEach((file, index) => form.append(`file${index + 1}`, new Blob([file.bytes]), file.name));
  return answerOf(
    await fetch(WEBHOOK, { method: 'POST', headers: { 'X-Spark-Signature': signature(metadata) }, body: form }),
  );
}

// The old guide handed the package's form to fetch, which turns it into these 17 characters.
async function submitGuideSample() {
  return answerOf(
    await fetch(WEBHOOK, {
      method: 'POST',
      headers: {
        'Content-Type': 'multipart/form-data; boundary=--------------------------012345678901234567890123',
        'X-Spark-Signature': signature(submission()),
      },
      body: '[object FormData]',
    }),
  );
}

// ---------------------------------------------------------------------------- answers

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const answerOf = async (response) => ({ status: response.status, body: parsed(await response.text()) });

// 4xx: give up. 5xx: try again.
async function deliver(send) {
  for (let attempts = 1; ; attempts += 1) {
    const answer = await send();
    if (answer.status < 500 || attempts > RETRIES) return { ...answer, message: message(answer), attempts };
    await sleep(50 * 2 ** attempts);
  }
}

// An object in `error` or `completion_id` shows here as [object Object], as it did in Spark's log.
const message = ({ status, body }) =>
  status < 300 ? `delivered as ${body.completion_id}` : `refused with ${status}: ${body.error}`;

const SCENARIOS = {
  sso: signIn,
  'submit-json': () => deliver(submitJson),
  'submit-multipart': () => deliver(submitMultipart),
  'submit-multipart-native': () => deliver(submitMultipartNative),
  'submit-guide-sample': () => deliver(submitGuideSample),
};

console.log(JSON.stringify(await SCENARIOS[process.argv[2]]()));
