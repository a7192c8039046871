<?php
// Receives grades and receipts from Optio. Copy it and change what you need: PHP 8.1.
//
//   GRADEBOOK=gradebook.json php -S 127.0.0.1:9000 receive.php
//
// OPTIO_API_KEY (what Optio calls you with) and OPTIO_OUTBOUND_SECRET come from the environment. The
// file stands for your database: keep the answer and its effect in one transaction.

const WINDOW_SECONDS = 300;

// Over the raw bytes. During a rotation there are two signatures, with a space between.
function isGenuine(string $raw): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $time = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!hash_equals('Bearer ' . getenv('OPTIO_API_KEY'), $_SERVER['HTTP_AUTHORIZATION'] ?? '')) {
        return false;
    }
    if (!ctype_digit($time) || abs(time() - (int) $time) > WINDOW_SECONDS) {
        return false;
    }
    $mac = hash_hmac('sha256', "$id.$time.$raw", getenv('OPTIO_OUTBOUND_SECRET'), true);
    $expected = 'v1,' . base64_encode($mac);
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}

function isOlder(array $grade, array $held): bool
{
    $order = new DateTimeImmutable($grade['scored_at']) <=> new DateTimeImmutable($held['scored_at']);
    return $order < 0 || ($order === 0 && $grade['version'] < $held['version']);
}

function keepGrade(array $grade, array &$book): int
{
    if (!isset($grade['score'])) {
        return 200; // handed in, not scored: the gradebook stays as it is
    }
    $place = json_encode([$grade['spark_user_id'], $grade['spark_course_id'], $grade['spark_assignment_id']]);
    if (isset($book['grades'][$place]) && isOlder($grade, $book['grades'][$place])) {
        return 409;
    }
    $book['grades'][$place] = $grade;
    return 200;
}

function keepReceipt(array $receipt, array &$book): int
{
    $book['receipts'][] = $receipt;
    return 200;
}

// An attempt that is repeated gets the first answer.
function once(string $key, callable $act, array $message): int
{
    $file = fopen(getenv('GRADEBOOK'), 'c+');
    flock($file, LOCK_EX);
    $book = json_decode(stream_get_contents($file), true) ?: ['grades' => [], 'receipts' => [], 'answered' => []];
    if (!isset($book['answered'][$key])) {
        $book['answered'][$key] = $act($message, $book);
        ftruncate($file, 0);
        rewind($file);
        fwrite($file, json_encode($book));
    }
    fclose($file);
    return $book['answered'][$key];
}

function answer(string $raw): int
{
    if (!isGenuine($raw)) {
        return 401; // Optio waits until key and secret are right
    }
    $asked = "$_SERVER[REQUEST_METHOD] $_SERVER[REQUEST_URI]";
    $acts = ['POST /grades' => keepGrade(...), 'POST /receipts' => keepReceipt(...)];
    if (isset($acts[$asked])) {
        $message = json_decode($raw, true, 32, JSON_THROW_ON_ERROR);
        return once($_SERVER['HTTP_IDEMPOTENCY_KEY'], $acts[$asked], $message);
    }
    return $asked === 'GET /ping' ? 200 : 404;
}

$status = 500; // Optio sends it again
try {
    foreach (['GRADEBOOK', 'OPTIO_API_KEY', 'OPTIO_OUTBOUND_SECRET'] as $name) {
        getenv($name) ?: throw new RuntimeException("Set $name.");
    }
    $status = answer(file_get_contents('php://input'));
} catch (Throwable $error) {
    error_log($error->getMessage());
}
http_response_code($status);
header('Content-Type: application/json');
echo json_encode(['status' => $status]);
