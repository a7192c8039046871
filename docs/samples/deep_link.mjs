// Lets a teacher choose work at Optio, and reads the answer. Copy it and change what you need: Node 18
// or newer, no packages.
//
//   node deep_link.mjs ask TEACHER COURSE ASSIGNMENT RETURN_URL    prints the address to open, and state
//   node deep_link.mjs read TOKEN STATE                            prints what was chosen
//
// OPTIO_URL and OPTIO_SHARED_SECRET, that of sign-in, come from the environment.
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';

const { OPTIO_URL, OPTIO_SHARED_SECRET } = process.env;
const LIFE_SECONDS = 600;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (text) => JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
const sign = (text) => createHmac('sha256', OPTIO_SHARED_SECRET).update(text).digest('base64url');
const now = () => Math.floor(Date.now() / 1000);

// Keep `state` with the teacher's session.
function ask(teacher, course, assignment, returnUrl) {
  const state = randomUUID();
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({
    message_type: 'deep_linking_request', iss: 'spark', sub: teacher, role: 'teacher',
    iat: now(), exp: now() + LIFE_SECONDS, jti: randomUUID(),
    spark_course_id: course, spark_assignment_id: assignment, return_url: returnUrl, state,
  })}`;
  return { url: `${OPTIO_URL.replace(/\/$/, '')}/spark/deep-link?token=${text}.${sign(text)}`, state };
}

// The field `token` that RETURN_URL was posted. Take each `jti` once: keep it until `exp`.
function read(token, state) {
  const [head, body, signature, ...more] = token.split('.');
  const [sent, expected] = [Buffer.from(signature ?? ''), Buffer.from(sign(`${head}.${body}`))];
  if (more.length || sent.length !== expected.length || !timingSafeEqual(sent, expected)) {
    throw new Error('the signature does not fit');
  }
  const [{ alg, typ }, claims] = [decode(head), decode(body)];
  if (alg !== 'HS256' || typ !== 'optio-deep-link+jwt' || claims.aud !== 'spark') {
    throw new Error('it is a token of another kind');
  }
  if (claims.exp <= now()) throw new Error('it is too old');
  if (claims.state !== state) throw new Error('it is of another request');
  return claims;
}

const [act, ...words] = process.argv.slice(2);
if (!OPTIO_URL || !OPTIO_SHARED_SECRET || words.length !== { ask: 4, read: 2 }[act]) {
  console.error(`Set OPTIO_URL and OPTIO_SHARED_SECRET, then:
node deep_link.mjs ask TEACHER COURSE ASSIGNMENT RETURN_URL
node deep_link.mjs read TOKEN STATE`);
  process.exit(2);
}
try {
  console.log(JSON.stringify(act === 'ask' ? ask(...words) : read(...words)));
} catch (error) {
  console.error(`Refused: ${error.message}`);
  process.exit(1);
}
