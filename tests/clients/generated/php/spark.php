<?php
// Spark's side: announces a course and a student, rehearses and hands in homework, and is refused.
require __DIR__ . '/autoload.php';

use GuzzleHttp\{Client, HandlerStack, Middleware};
use Optio\Client\Api\{CoursesApi, SubmissionApi};
use Optio\Client\{ApiException, Configuration};
use Optio\Client\Model\{Course, CourseAssignment, Problem, RosterChange, RosterEntry, Submission};
use Psr\Http\Message\RequestInterface;

// Each request is signed as it leaves: Guzzle's middleware sees the very bytes that are sent.
$stack = HandlerStack::create();
$stack->push(Middleware::mapRequest(function (RequestInterface $request): RequestInterface {
    [$id, $time] = ['msg_' . bin2hex(random_bytes(12)), time()];
    $signed = "$id.$time.{$request->getBody()}";
    $mac = base64_encode(hash_hmac('sha256', $signed, getenv('OPTIO_WEBHOOK_SECRET'), true));
    return $request->withHeader('webhook-id', $id)
        ->withHeader('webhook-timestamp', (string) $time)
        ->withHeader('webhook-signature', "v1,$mac");
}));
$http = new Client(['handler' => $stack]);
$optio = (new Configuration())->setHost(getenv('OPTIO_URL'));
$courses = new CoursesApi($http, $optio);
$submissions = new SubmissionApi($http, $optio);
[, $course, $student, $email] = $argv;

$synced = $courses->syncCourse(new Course([
    'spark_course_id' => $course,
    'course_title' => 'Weather',
    'assignments' => [new CourseAssignment(['spark_assignment_id' => 'rain', 'title' => 'Rain'])],
]));
$roster = $courses->changeRoster(new RosterChange([
    'spark_course_id' => $course,
    'entries' => [new RosterEntry(['spark_user_id' => $student, 'action' => 'enroll', 'email' => $email])],
]));
$homework = fn (string $who): Submission => new Submission([
    'spark_user_id' => $who,
    'spark_course_id' => $course,
    'spark_assignment_id' => 'rain',
    'submission_text' => 'Rain fell on four of seven days.',
    'submitted_at' => date('c'),
]);
$rehearsed = $submissions->submit($homework($student), dry_run: true);
$recorded = $submissions->submit($homework($student));
try {
    $submissions->submit($homework('nobody'));
    $refused = null;
} catch (ApiException $error) {
    $problem = $error->getResponseObject();
    $refused = $problem instanceof Problem ? $problem->getCode() : null;
}

echo json_encode([
    'course' => $synced->getTaskCount(),
    'enrolled' => $roster->getEnrolled(),
    'rehearsed' => [$rehearsed->getStatus(), $rehearsed->getWould()],
    'recorded' => [$recorded->getStatus(), $recorded->getRevision()],
    'refused' => $refused,
]), "\n";
