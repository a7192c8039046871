// Spark's side: announces a course and a student, rehearses and hands in homework, and is refused.
import { createHmac, randomBytes } from 'node:crypto';
import { Configuration, CoursesApi, type Middleware, ProblemFromJSON, ResponseError, SubmissionApi, type Submission } from './client/index.js';

const { OPTIO_URL, OPTIO_WEBHOOK_SECRET } = process.env as Record<string, string>;
const [course, student, email] = process.argv.slice(2) as [string, string, string];

// Each request is signed as it leaves: what is signed is what is sent.
const signer: Middleware = {
  async pre({ url, init }) {
    const id = `msg_${randomBytes(12).toString('hex')}`;
    const time = Math.floor(Date.now() / 1000).toString();
    const mac = createHmac('sha256', OPTIO_WEBHOOK_SECRET!).update(`${id}.${time}.${init.body}`).digest('base64');
    const signature = { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1,${mac}` };
    return { url, init: { ...init, headers: { ...init.headers, ...signature } } };
  },
};
const optio = new Configuration({ basePath: OPTIO_URL!, middleware: [signer] });
const courses = new CoursesApi(optio);
const submissions = new SubmissionApi(optio);

const synced = await courses.syncCourse({
  course: {
    sparkCourseId: course,
    courseTitle: 'Weather',
    assignments: [{ sparkAssignmentId: 'rain', title: 'Rain' }],
  },
});
const roster = await courses.changeRoster({
  rosterChange: { sparkCourseId: course, entries: [{ sparkUserId: student, action: 'enroll', email }] },
});
const homework = (who: string): Submission => ({
  sparkUserId: who,
  sparkCourseId: course,
  sparkAssignmentId: 'rain',
  submissionText: 'Rain fell on four of seven days.',
  submittedAt: new Date().toISOString(),
});
const rehearsed = await submissions.submit({ submission: homework(student), dryRun: true });
const recorded = await submissions.submit({ submission: homework(student) });
const refused = await submissions.submit({ submission: homework('nobody') }).then(
  () => null,
  async (error: unknown) => error instanceof ResponseError && ProblemFromJSON(await error.response.json()).code,
);

console.log(JSON.stringify({
  course: 'taskCount' in synced && synced.taskCount,
  enrolled: 'enrolled' in roster && roster.enrolled,
  rehearsed: [rehearsed.status, 'would' in rehearsed && rehearsed.would],
  recorded: [recorded.status, 'revision' in recorded && recorded.revision],
  refused,
}));
