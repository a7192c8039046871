// Spark's side: announces a course and a student, rehearses and hands in homework, and is refused.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import createClient from 'openapi-fetch';
import type { components, paths } from './client/schema.js';

const { OPTIO_URL, OPTIO_WEBHOOK_SECRET } = process.env as Record<string, string>;
const [course, student, email, picture] = process.argv.slice(2) as [string, string, string, string];
const optio = createClient<paths>({ baseUrl: OPTIO_URL! });

// Each request is signed as it leaves: the whole JSON, or the field `metadata` of a form.
optio.use({
  async onRequest({ request }) {
    const isForm = request.headers.get('Content-Type')?.startsWith('multipart/');
    const sent = request.clone();
    const content = isForm ? (await sent.formData()).get('metadata') : await sent.text();
    const id = `msg_${randomBytes(12).toString('hex')}`;
    const time = Math.floor(Date.now() / 1000).toString();
    const mac = createHmac('sha256', OPTIO_WEBHOOK_SECRET!).update(`${id}.${time}.${content}`).digest('base64');
    request.headers.set('webhook-id', id);
    request.headers.set('webhook-timestamp', time);
    request.headers.set('webhook-signature', `v1,${mac}`);
    return request;
  },
});

const synced = await optio.POST('/spark/webhook/course', {
  body: {
    spark_course_id: course,
    course_title: 'Weather',
    assignments: [{ spark_assignment_id: 'rain', title: 'Rain' }],
  },
});
const roster = await optio.POST('/spark/webhook/roster', {
  body: { spark_course_id: course, entries: [{ spark_user_id: student, action: 'enroll', email }] },
});
const homework = (who: string): components['schemas']['Submission'] => ({
  spark_user_id: who,
  spark_course_id: course,
  spark_assignment_id: 'rain',
  submission_text: 'Rain fell on four of seven days.',
  submitted_at: new Date().toISOString(),
});
const submission = '/spark/webhook/submission';
const rehearsed = await optio.POST(submission, { body: homework(student), params: { query: { dry_run: true } } });
const recorded = await optio.POST(submission, { body: homework(student) });
const refused = await optio.POST(submission, { body: homework('nobody') });

const bytes = await readFile(picture);
const sha256 = createHash('sha256').update(bytes).digest('hex');
const withFile = await optio.POST(submission, {
  body: { ...homework(student), files: [{ name: 'gauge.png', sha256, size: bytes.length }] },
  bodySerializer(metadata) {
    const form = new FormData();
    form.append('metadata', JSON.stringify(metadata));
    form.append('file', new File([bytes], 'gauge.png'));
    return form;
  },
});

const member = <Name extends string>(answer: object | undefined, name: Name) =>
  answer && name in answer ? (answer as Record<Name, unknown>)[name] : null;

console.log(JSON.stringify({
  course: member(synced.data, 'task_count'),
  enrolled: member(roster.data, 'enrolled'),
  rehearsed: [rehearsed.data?.status, member(rehearsed.data, 'would')],
  recorded: [recorded.data?.status, member(recorded.data, 'revision')],
  refused: refused.error?.code,
  files: withFile.data && 'files' in withFile.data && withFile.data.files.map(({ name }) => name),
}));
