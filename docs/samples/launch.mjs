// Makes the link that signs a student in. Copy it and change what you need: Node 18 or newer, no
// packages.
//
//   node launch.mjs STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]
//
// OPTIO_URL and OPTIO_SHARED_SECRET, that of sign-in, come from the environment. Make a link for each
// click and redirect the browser to it: it works once, and for 10 minutes.
import { createHmac, randomUUID } from 'node:crypto';

const { OPTIO_URL, OPTIO_SHARED_SECRET } = process.env;
const LIFE_SECONDS = 600;

const [student, email, givenName, familyName, ...courses] = process.argv.slice(2);
if (!OPTIO_URL || !OPTIO_SHARED_SECRET || familyName === undefined) {
  console.error('Set OPTIO_URL and OPTIO_SHARED_SECRET, then:');
  console.error('node launch.mjs STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]');
  process.exit(2);
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = Math.floor(Date.now() / 1000);
const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({
  sub: student, email, given_name: givenName, family_name: familyName, role: 'student',
  iat: now, exp: now + LIFE_SECONDS, jti: randomUUID(),
  ...(courses.length ? { courses } : {}), // those that the student is enrolled in by this click
})}`;
// The key is the secret as literal text.
const signature = createHmac('sha256', OPTIO_SHARED_SECRET).update(text).digest('base64url');
console.log(`${OPTIO_URL.replace(/\/$/, '')}/spark/sso?token=${text}.${signature}`);
