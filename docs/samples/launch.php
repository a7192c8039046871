<?php
// Makes the link that signs a student in. Copy it and change what you need: PHP 8.
//
//   php launch.php STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]
//
// OPTIO_URL and OPTIO_SHARED_SECRET, that of sign-in, come from the environment. Make a link for each
// click and redirect the browser to it: it works once, and for 10 minutes.

const LIFE_SECONDS = 600;

$words = array_slice($argv, 1);
if (!getenv('OPTIO_URL') || !getenv('OPTIO_SHARED_SECRET') || count($words) < 4) {
    fwrite(STDERR, "Set OPTIO_URL and OPTIO_SHARED_SECRET, then:\n");
    fwrite(STDERR, "php launch.php STUDENT EMAIL GIVEN_NAME FAMILY_NAME [COURSE ...]\n");
    exit(2);
}

function encode(string $bytes): string
{
    return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
}

[$student, $email, $givenName, $familyName] = $words;
$courses = array_slice($words, 4); // those that the student is enrolled in by this click
$text = encode(json_encode(['alg' => 'HS256', 'typ' => 'JWT'])) . '.' . encode(json_encode([
    'sub' => $student, 'email' => $email, 'given_name' => $givenName, 'family_name' => $familyName,
    'role' => 'student', 'iat' => time(), 'exp' => time() + LIFE_SECONDS, 'jti' => bin2hex(random_bytes(16)),
] + ($courses ? ['courses' => $courses] : [])));
// The key is the secret as literal text.
$signature = encode(hash_hmac('sha256', $text, getenv('OPTIO_SHARED_SECRET'), true));
echo rtrim(getenv('OPTIO_URL'), '/'), "/spark/sso?token=$text.$signature\n";
