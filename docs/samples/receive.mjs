// Receives grades and receipts from Optio. Copy it and change what you need: Node 18 or newer, no
// packages.
//
//   PORT=9000 GRADEBOOK=gradebook.json node receive.mjs
//
// OPTIO_API_KEY (what Optio calls you with) and OPTIO_OUTBOUND_SECRET come from the environment. The
// file stands for your database: keep the answer and its effect in one transaction.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { GRADEBOOK, OPTIO_API_KEY, OPTIO_OUTBOUND_SECRET, PORT = '9000' } = process.env;
const WINDOW_SECONDS = 300;
const MAX_BYTES = 64 * 1024;
if (!GRADEBOOK || !OPTIO_API_KEY || !OPTIO_OUTBOUND_SECRET || !(PORT >= 0 && PORT < 65536)) {
  console.error('Set PORT, GRADEBOOK, OPTIO_API_KEY and OPTIO_OUTBOUND_SECRET.');
  process.exit(2);
}
const book = existsSync(GRADEBOOK)
  ? JSON.parse(readFileSync(GRADEBOOK, 'utf8'))
  : { grades: {}, receipts: [], answered: {} };

function same(sent, expected) {
  const [one, other] = [Buffer.from(sent ?? ''), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

// Over the raw bytes. During a rotation there are two signatures, with a space between.
function isGenuine(headers, raw) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signatures = '' } = headers;
  if (!same(headers.authorization, `Bearer ${OPTIO_API_KEY}`)) return false;
  if (!/^\d+$/.test(time) || Math.abs(Date.now() / 1000 - Number(time)) > WINDOW_SECONDS) return false;
  const mac = createHmac('sha256', OPTIO_OUTBOUND_SECRET).update(`${id}.${time}.`).update(raw);
  const expected = `v1,${mac.digest('base64')}`;
  return signatures.split(' ').some((signature) => same(signature, expected));
}

function isOlder(grade, held) {
  const [sent, kept] = [Date.parse(grade.scored_at), Date.parse(held.scored_at)];
  return sent < kept || (sent === kept && grade.version < held.version); // Date has milliseconds
}

function keepGrade(grade) {
  if (grade.score === undefined) return 200; // handed in, not scored: the gradebook stays as it is
  const place = JSON.stringify([grade.spark_user_id, grade.spark_course_id, grade.spark_assignment_id]);
  if (book.grades[place] && isOlder(grade, book.grades[place])) return 409;
  book.grades[place] = grade;
  return 200;
}

function keepReceipt(receipt) {
  book.receipts.push(receipt);
  return 200;
}

// An attempt that is repeated gets the first answer.
function once(key, act) {
  if (book.answered[key] === undefined) {
    book.answered[key] = act();
    writeFileSync(`${GRADEBOOK}.part`, JSON.stringify(book));
    renameSync(`${GRADEBOOK}.part`, GRADEBOOK);
  }
  return book.answered[key];
}

function answer({ method, url, headers }, raw) {
  if (!isGenuine(headers, raw)) return 401; // Optio waits until key and secret are right
  const acts = { 'POST /grades': keepGrade, 'POST /receipts': keepReceipt };
  const act = acts[`${method} ${url}`];
  if (act) return once(headers['idempotency-key'], () => act(JSON.parse(raw)));
  return method === 'GET' && url === '/ping' ? 200 : 404;
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= MAX_BYTES) chunks.push(chunk);
  }
  return size > MAX_BYTES ? null : Buffer.concat(chunks);
}

const server = createServer(async (request, response) => {
  let status = 500; // Optio sends it again
  try {
    const raw = await read(request);
    status = raw === null ? 413 : answer(request, raw);
  } catch (error) {
    console.error(error.message);
  }
  console.log(`${request.method} ${request.url} ${status}`);
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify({ status }));
});
server.on('error', (error) => {
  console.error(error.message); // the port is taken
  process.exit(1);
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
