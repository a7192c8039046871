<?php
// PHP's curl: a JSON body, and a form of an array with a CURLFile, as PHP's manual shows it.
$path = getenv('FOLDER') . '/' . getenv('FILE_NAME');
file_put_contents($path, getenv('FILE_CONTENT'));
$send = function (array $headers, mixed $body): void {
    $request = curl_init(getenv('OPTIO_URL'));
    curl_setopt_array($request, [
        CURLOPT_POST => true, CURLOPT_POSTFIELDS => $body, CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HTTPHEADER => $headers,
    ]);
    $answer = str_replace("\n", ' ', (string) curl_exec($request));
    echo curl_getinfo($request, CURLINFO_RESPONSE_CODE), " $answer\n";
};
$signature = 'X-Spark-Signature: ' . getenv('MESSAGE_SIGNATURE');
$send([$signature, 'Content-Type: application/json; charset=utf-8'], getenv('MESSAGE'));
$signature = 'X-Spark-Signature: ' . getenv('METADATA_SIGNATURE');
$send([$signature], ['metadata' => getenv('METADATA'), 'files' => new CURLFile($path)]);
$send([$signature], ['metadata' => getenv('METADATA'), 'files' => new CURLStringFile(getenv('FILE_CONTENT'), getenv('FILE_NAME'))]);
