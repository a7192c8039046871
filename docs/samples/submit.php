<?php
// Hands homework in at Optio. Copy it and change what you need: PHP 8 with its curl extension.
//
//   php submit.php [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
//
// OPTIO_URL and OPTIO_WEBHOOK_SECRET come from the environment. Prints Optio's answer and exits
// with 0, or says what to change and exits with 1.

const ATTEMPTS = 8; // in some two minutes; your job queue may go on for 7 days

$args = array_slice($argv, 1);
$dryRun = ($args[0] ?? '') === '--dry-run' && array_shift($args);
$paths = array_slice($args, 4);
if (!getenv('OPTIO_URL') || !getenv('OPTIO_WEBHOOK_SECRET') || count($args) < 4) {
    fwrite(STDERR, "Set OPTIO_URL and OPTIO_WEBHOOK_SECRET, then:\n");
    fwrite(STDERR, "php submit.php [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]\n");
    exit(2);
}

function describe(string $path): array
{
    $sha256 = hash_file('sha256', $path) ?: throw new RuntimeException("cannot read $path");
    return ['name' => basename($path), 'sha256' => $sha256, 'size' => filesize($path)];
}

// The key is the secret as literal text. The id stays, the time is that of this attempt.
function sign(string $id, string $content): array
{
    $time = time();
    $mac = base64_encode(hash_hmac('sha256', "$id.$time.$content", getenv('OPTIO_WEBHOOK_SECRET'), true));
    return ["webhook-id: $id", "webhook-timestamp: $time", "webhook-signature: v1,$mac"];
}

// curl reads the files while it sends them. Above 1 MiB it asks first (Expect: 100-continue): leave
// that on, and send metadata first, then a wrong signature is answered before the files travel.
function send(string $url, string $id, string $content, array $paths): array
{
    $retryAfter = 0;
    $form = ['metadata' => $content];
    foreach ($paths as $index => $path) {
        $form["file$index"] = new CURLFile($path, null, basename($path));
    }
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_HTTPHEADER => [...sign($id, $content), ...($paths ? [] : ['Content-Type: application/json'])],
        CURLOPT_POSTFIELDS => $paths ? $form : $content,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_CONNECTTIMEOUT => 10,
        CURLOPT_LOW_SPEED_LIMIT => 1, // byte per second, for so many seconds: then it gives up
        CURLOPT_LOW_SPEED_TIME => 120,
        CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$retryAfter): int {
            $retryAfter = stripos($line, 'Retry-After:') === 0 ? (int) substr($line, 12) : $retryAfter;
            return strlen($line);
        },
    ]);
    $text = curl_exec($curl);
    $status = $text === false ? 0 : curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
    return ['status' => $status, 'retryAfter' => $retryAfter, 'text' => $text ?: curl_error($curl)];
}

// Status 0 is no answer: it may have arrived all the same, so the same id goes again.
function deliver(string $url, string $id, string $content, array $paths): array
{
    for ($attempt = 1; ; $attempt++) {
        $answer = send($url, $id, $content, $paths);
        $again = in_array($answer['status'], [0, 408, 409, 429], true) || $answer['status'] >= 500;
        if (!$again || $attempt === ATTEMPTS) {
            return $answer;
        }
        sleep($answer['retryAfter'] ?: 2 ** ($attempt - 1) + random_int(0, 1));
    }
}

// Keep both with your job, so that a retry is the same message.
$id = 'msg_' . bin2hex(random_bytes(16));
$content = json_encode([
    'spark_user_id' => $args[0], 'spark_course_id' => $args[1], 'spark_assignment_id' => $args[2],
    'submission_text' => $args[3], 'submitted_at' => gmdate('Y-m-d\TH:i:s\Z'),
    'files' => array_map('describe', $paths),
], JSON_THROW_ON_ERROR);
$url = rtrim(getenv('OPTIO_URL'), '/') . '/spark/webhook/submission' . ($dryRun ? '?dry_run=true' : '');
['status' => $status, 'text' => $text] = deliver($url, $id, $content, $paths);
$said = json_decode($text, true) ?? ['code' => 'no_answer_of_optio', 'error' => $text];
$line = $status === 200 ? $text : "$status {$said['code']}: {$said['error']}\n" . ($said['hint'] ?? '');
fwrite($status === 200 ? STDOUT : STDERR, "$line\n");
foreach ($said['errors'] ?? [] as $problem) {
    fwrite(STDERR, "{$problem['file']}: {$problem['code']}\n");
}
foreach ($said['warnings'] ?? [] as $warning) {
    fwrite(STDERR, "warning: {$warning['field']}: {$warning['detail']}\n");
}
exit($status === 200 && ($said['would'] ?? '') !== 'refuse' ? 0 : 1);
