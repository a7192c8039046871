<?php
// What composer would do: Guzzle is found by PHP's include path, the client beside this file.
ini_set('display_errors', 'stderr');
require 'GuzzleHttp/autoload.php';

spl_autoload_register(function (string $class): void {
    [, , $path] = [...explode('\\', $class, 3), '', ''];
    $file = __DIR__ . '/client/lib/' . strtr($path, '\\', '/') . '.php';
    if (str_starts_with($class, 'Optio\\Client\\') && is_file($file)) {
        require $file;
    }
});
