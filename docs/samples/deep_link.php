<?php
// Lets a teacher choose work at Optio, and reads the answer. Copy it and change what you need: PHP 8.
//
//   php deep_link.php ask TEACHER COURSE ASSIGNMENT RETURN_URL    prints the address to open, and state
//   php deep_link.php read TOKEN STATE                            prints what was chosen
//
// OPTIO_URL and OPTIO_SHARED_SECRET, that of sign-in, come from the environment.

const LIFE_SECONDS = 600;

function encode(string $bytes): string
{
    return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
}

function decode(string $text): array
{
    return json_decode(base64_decode(strtr($text, '-_', '+/')), true, 32, JSON_THROW_ON_ERROR);
}

function sign(string $text): string
{
    return encode(hash_hmac('sha256', $text, getenv('OPTIO_SHARED_SECRET'), true));
}

// Keep `state` with the teacher's session.
function ask(string $teacher, string $course, string $assignment, string $returnUrl): array
{
    $state = bin2hex(random_bytes(16));
    $text = encode(json_encode(['alg' => 'HS256', 'typ' => 'JWT'])) . '.' . encode(json_encode([
        'message_type' => 'deep_linking_request', 'iss' => 'spark', 'sub' => $teacher, 'role' => 'teacher',
        'iat' => time(), 'exp' => time() + LIFE_SECONDS, 'jti' => bin2hex(random_bytes(16)),
        'spark_course_id' => $course, 'spark_assignment_id' => $assignment,
        'return_url' => $returnUrl, 'state' => $state,
    ]));
    $url = rtrim(getenv('OPTIO_URL'), '/') . "/spark/deep-link?token=$text." . sign($text);
    return ['url' => $url, 'state' => $state];
}

// The field `token` that RETURN_URL was posted. Take each `jti` once: keep it until `exp`.
function read(string $token, string $state): array
{
    $parts = explode('.', $token);
    if (count($parts) !== 3 || !hash_equals(sign("$parts[0].$parts[1]"), $parts[2])) {
        throw new RuntimeException('the signature does not fit');
    }
    [$head, $claims] = [decode($parts[0]), decode($parts[1])];
    if ($head['alg'] !== 'HS256' || $head['typ'] !== 'optio-deep-link+jwt' || ($claims['aud'] ?? '') !== 'spark') {
        throw new RuntimeException('it is a token of another kind');
    }
    if ($claims['exp'] <= time()) {
        throw new RuntimeException('it is too old');
    }
    if (!hash_equals($state, (string) $claims['state'])) {
        throw new RuntimeException('it is of another request');
    }
    return $claims;
}

$words = array_slice($argv, 2);
$needed = ['ask' => 4, 'read' => 2][$argv[1] ?? ''] ?? -1;
if (!getenv('OPTIO_URL') || !getenv('OPTIO_SHARED_SECRET') || count($words) !== $needed) {
    fwrite(STDERR, <<<'END'
        Set OPTIO_URL and OPTIO_SHARED_SECRET, then:
        php deep_link.php ask TEACHER COURSE ASSIGNMENT RETURN_URL
        php deep_link.php read TOKEN STATE

        END);
    exit(2);
}
try {
    echo json_encode($argv[1] === 'ask' ? ask(...$words) : read(...$words), JSON_UNESCAPED_SLASHES), "\n";
} catch (RuntimeException | JsonException $error) {
    fwrite(STDERR, "Refused: {$error->getMessage()}\n");
    exit(1);
}
