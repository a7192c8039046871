<?php
// Hands homework in at Optio, or sends another message, signed alike. Copy it and change what you
// need: PHP 8 with its curl extension.
//
//   php submit.php [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
//   php submit.php [--dry-run] --to ROUTE JSON
//
// ROUTE is course, roster, deliveries, deliveries/replay or ping. OPTIO_URL and OPTIO_WEBHOOK_SECRET
// come from the environment. Prints Optio's answer and exits with 0, or says what to change and exits
// with 1; an attempt that is repeated is a line.

const ATTEMPTS = 8; // in some two minutes; your job queue may go on for 7 days

function refuse(string $why): void
{
    fwrite(STDERR, <<<END
        $why
        php submit.php [--dry-run] STUDENT COURSE ASSIGNMENT TEXT [FILE ...]
        php submit.php [--dry-run] --to ROUTE JSON

        END);
    exit(2);
}

$args = array_slice($argv, 1);
$dryRun = ($args[0] ?? '') === '--dry-run' && array_shift($args);
[$route, $message] = ($args[0] ?? '') === '--to' ? [$args[1] ?? '', $args[2] ?? null] : ['submission', null];
$paths = $route === 'submission' ? array_slice($args, 4) : [];
if (!getenv('OPTIO_URL') || !getenv('OPTIO_WEBHOOK_SECRET')) {
    refuse('Set OPTIO_URL and OPTIO_WEBHOOK_SECRET.');
}
if (!preg_match('#^https?://[^/]#', getenv('OPTIO_URL'))) {
    refuse('OPTIO_URL begins with https:// or http://.');
}
if ($message === null && (count($args) < 4 || str_starts_with($args[0], '--'))) {
    refuse('These arguments do not fit:');
}
if (!extension_loaded('curl')) {
    refuse('PHP needs its curl extension.');
}

function describe(string $path): array
{
    if (!is_file($path) || !is_readable($path)) {
        refuse("Cannot read $path.");
    }
    return ['name' => basename($path), 'sha256' => hash_file('sha256', $path), 'size' => filesize($path)];
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
    $text = $text ?: curl_error($curl);
    $other = ['code' => 'no_answer_of_optio', 'error' => substr($text, 0, 200)]; // a proxy's words, or the network's
    $said = json_decode($text, true);
    $isOurs = is_array($said) && ($status === 200 || isset($said['request_id']));
    return [$status, $text, $isOurs ? $said : $other, $retryAfter];
}

// Status 0 is no answer: it may have arrived all the same, so the same id goes again.
function deliver(string $url, string $id, string $content, array $paths, int $attempts): array
{
    for ($attempt = 1; ; $attempt++) {
        [$status, $text, $said, $retryAfter] = send($url, $id, $content, $paths);
        $code = $said['code'] ?? '';
        $again = in_array($status, [0, 408, 429], true) || $status >= 500 || $code === 'request_in_progress';
        if (!$again || $attempt === $attempts) {
            return [$status, $text, $said];
        }
        $seconds = $retryAfter ?: 2 ** ($attempt - 1) + random_int(0, 1);
        fwrite(STDERR, "attempt $attempt: $status $code: {$said['error']}; again in $seconds s\n");
        sleep($seconds);
    }
}

// Keep both with your job, so that a retry is the same message.
$id = 'msg_' . bin2hex(random_bytes(16));
$content = $message ?? json_encode([
    'spark_user_id' => $args[0], 'spark_course_id' => $args[1], 'spark_assignment_id' => $args[2],
    'submission_text' => $args[3], 'submitted_at' => gmdate('Y-m-d\TH:i:s\Z'),
    'files' => array_map('describe', $paths),
], JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
$url = rtrim(getenv('OPTIO_URL'), '/') . "/spark/webhook/$route" . ($dryRun ? '?dry_run=true' : '');
[$status, $text, $said] = deliver($url, $id, $content, $paths, $dryRun ? 1 : ATTEMPTS);
$hint = $said['hint'] ?? '';
$taken = $status === 200 && !isset($said['code']);
$line = $taken ? $text : "$status {$said['code']}: {$said['error']}\n$hint\nwebhook-id: $id";
fwrite($taken ? STDOUT : STDERR, "$line\n");
foreach ($said['errors'] ?? [] as $problem) {
    fwrite(STDERR, ($problem['file'] ?? $problem['spark_user_id'] ?? '') . ": {$problem['code']}\n");
}
foreach ($said['warnings'] ?? [] as $warning) {
    fwrite(STDERR, "warning: {$warning['field']}: {$warning['detail']}\n");
}
exit($taken && ($said['would'] ?? '') !== 'refuse' ? 0 : 1);
