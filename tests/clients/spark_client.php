<?php
// Spark's PHP client as it has run for years: it knows the written contract, and only the host
// has changed. Needs the curl and json extensions. Prints {status, body} on one line,
// for submissions with the `message` it would log and the number of `attempts`.
//
//   php spark_client.php sso | submit-json | submit-multipart | submit-multipart-files-first
//                        | submit-multipart-large
//
// Read from the environment: OPTIO_URL, OPTIO_SHARED_SECRET, OPTIO_WEBHOOK_SECRET,
// SPARK_USER_ID (a number), and for submissions SPARK_ASSIGNMENT_ID, SPARK_COURSE_ID, SUBMITTED_AT.

ini_set('display_errors', 'stderr');

const RETRIES = 3;
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

// ---------------------------------------------------------------------------- signing in

function base64url($value)
{
    return rtrim(strtr(base64_encode($value), '+/', '-_'), '=');
}

// Ids come out of Spark's database as numbers, so `sub` is an integer here.
function launch_token()
{
    $id = (int) getenv('SPARK_USER_ID');
    $now = time();
    $claims = array(
        'sub' => $id,
        'email' => "student-$id@spark.example.org",
        'given_name' => 'Zoë',
        'family_name' => "O'Neil",
        'role' => 'student',
        'iat' => $now,
        'exp' => $now + 600,
    );
    $unsigned = base64url(json_encode(array('alg' => 'HS256', 'typ' => 'JWT'))) . '.' . base64url(json_encode($claims));
    return $unsigned . '.' . base64url(hash_hmac('sha256', $unsigned, getenv('OPTIO_SHARED_SECRET'), true));
}

function sign_in()
{
    $launch = call(getenv('OPTIO_URL') . '/spark/sso?token=' . launch_token(), array());
    if ($launch['status'] !== 302) {
        return $launch;
    }
    parse_str(parse_url($launch['location'], PHP_URL_QUERY), $query);
    return call(getenv('OPTIO_URL') . '/spark/token', array(
        CURLOPT_POSTFIELDS => json_encode(array('code' => $query['code'])),
        CURLOPT_HTTPHEADER => array('Content-Type: application/json'),
    ));
}

// ---------------------------------------------------------------------------- submissions

// json_encode as PHP does it: "/" and everything that is not ASCII is escaped.
function submission()
{
    return json_encode(array(
        'spark_user_id' => (int) getenv('SPARK_USER_ID'),
        'spark_assignment_id' => getenv('SPARK_ASSIGNMENT_ID'),
        'spark_course_id' => getenv('SPARK_COURSE_ID'),
        'submission_text' => 'Café notes, see http://example.org/a/b ✓',
        'submitted_at' => getenv('SUBMITTED_AT') ?: date('c'),
        'grade' => null,
    ));
}

function submit($signed, $fields, $headers)
{
    $headers[] = 'X-Spark-Signature: ' . hash_hmac('sha256', $signed, getenv('OPTIO_WEBHOOK_SECRET'));
    return deliver(getenv('OPTIO_URL') . '/spark/webhook/submission', array(
        CURLOPT_POSTFIELDS => $fields,
        CURLOPT_HTTPHEADER => $headers,
    ));
}

function submit_json()
{
    $body = submission();
    return submit($body, $body, array('Content-Type: application/json'));
}

// CURLFile without a type labels each part application/octet-stream.
function submit_multipart($files, $files_first)
{
    $metadata = submission();
    $fields = $files_first ? array() : array('metadata' => $metadata);
    $paths = array();
    try {
        foreach ($files as $name => $content) {
            $paths[] = $path = tempnam(sys_get_temp_dir(), 'spark');
            file_put_contents($path, $content);
            $fields['file' . count($paths)] = new CURLFile($path, null, $name);
        }
        $fields['metadata'] = $metadata;
        return submit($metadata, $fields, array());
    } finally {
        array_map('unlink', $paths);
    }
}

// ---------------------------------------------------------------------------- answers

function call($url, $options)
{
    $curl = curl_init($url);
    curl_setopt_array($curl, $options + array(CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 30));
    $text = curl_exec($curl);
    if ($text === false) {
        throw new RuntimeException(curl_error($curl));
    }
    $body = json_decode($text, true);
    return array(
        'status' => curl_getinfo($curl, CURLINFO_HTTP_CODE),
        'location' => curl_getinfo($curl, CURLINFO_REDIRECT_URL),
        'body' => $body === null ? $text : $body,
    );
}

// 4xx: give up. 5xx: try again.
function deliver($url, $options)
{
    for ($attempts = 1; ; $attempts++) {
        $answer = call($url, $options);
        if ($answer['status'] < 500 || $attempts > RETRIES) {
            return $answer + array('message' => message($answer['status'], $answer['body']), 'attempts' => $attempts);
        }
        usleep(50000 * 2 ** $attempts);
    }
}

// An array in `error` or `completion_id` shows here as "Array", as it did in Spark's log.
function message($status, $body)
{
    if ($status < 300) {
        return 'delivered as ' . (isset($body['completion_id']) ? $body['completion_id'] : 'nothing');
    }
    return "refused with $status: " . (isset($body['error']) ? $body['error'] : 'no reason');
}

$two = array('drawing.png' => base64_decode(PIXEL), 'notes.txt' => "Crème brûlée\n");
// Above 1 MiB libcurl asks first: Expect: 100-continue.
$large = array('essay.txt' => str_repeat("All work and no play makes Jack a dull boy.\n", 40000));

switch ($argv[1]) {
    case 'sso':
        $answer = sign_in();
        break;
    case 'submit-json':
        $answer = submit_json();
        break;
    case 'submit-multipart':
        $answer = submit_multipart($two, false);
        break;
    case 'submit-multipart-files-first':
        $answer = submit_multipart($two, true);
        break;
    case 'submit-multipart-large':
        $answer = submit_multipart($large, false);
        break;
    default:
        fwrite(STDERR, "no such scenario: {$argv[1]}\n");
        exit(2);
}
unset($answer['location']);
echo json_encode($answer), "\n";
