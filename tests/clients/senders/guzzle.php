<?php
// Guzzle as Debian has it: the json body as text, and its multipart option.
require_once 'GuzzleHttp/autoload.php';
require_once 'GuzzleHttp/Psr7/autoload.php';

$client = new GuzzleHttp\Client(['http_errors' => false]);
$send = function (array $options) use ($client): void {
    $answer = $client->post(getenv('OPTIO_URL'), $options);
    echo $answer->getStatusCode(), ' ', str_replace("\n", ' ', (string) $answer->getBody()), "\n";
};
$headers = ['X-Spark-Signature' => getenv('MESSAGE_SIGNATURE'), 'Content-Type' => 'application/json'];
$send(['headers' => $headers, 'body' => getenv('MESSAGE')]);
$headers = ['X-Spark-Signature' => getenv('METADATA_SIGNATURE')];
$send(['headers' => $headers, 'multipart' => [
    ['name' => 'metadata', 'contents' => getenv('METADATA')],
    ['name' => 'files', 'contents' => getenv('FILE_CONTENT'), 'filename' => getenv('FILE_NAME')],
]]);
