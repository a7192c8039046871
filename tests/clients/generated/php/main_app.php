<?php
// The main app's side: asks for a session, reads and saves evidence, is refused, and adds a file.
require __DIR__ . '/autoload.php';

use GuzzleHttp\Client;
use Optio\Client\Api\{CompletionsApi, EvidenceApi, SessionsApi};
use Optio\Client\{ApiException, Configuration};
use Optio\Client\Model\{BlockToSave, EvidenceToSave, Problem, TokenToIntrospect};

$optio = (new Configuration())->setHost(getenv('OPTIO_URL'))->setAccessToken(getenv('OPTIO_KEY'));
$http = new Client();
$sessions = new SessionsApi($http, $optio);
$evidence = new EvidenceApi($http, $optio);
[, $token, $user, $task, $completion, $picture] = $argv;

// What a refusal says: the client throws it, with the problem it was answered.
function refusal(callable $act): ?string
{
    try {
        $act();
        return null;
    } catch (ApiException $error) {
        $problem = $error->getResponseObject();
        return $problem instanceof Problem ? $problem->getCode() : null;
    }
}

$active = $sessions->introspectSession(new TokenToIntrospect(['token' => $token]));
$unknown = $sessions->introspectSession(new TokenToIntrospect(['token' => 'garbage']));
$completions = new CompletionsApi($http, $optio);
$completed = $completions->getCompletion($completion);
$missing = refusal(fn () => $completions->getCompletion('00000000-0000-0000-0000-000000000000'));

$read = $evidence->getEvidence($task, $user);
$added = new BlockToSave(['type' => 'image', 'content' => ['alt' => 'A rain gauge']]);
$draft = new EvidenceToSave([
    'blocks' => [...$read->getBlocks(), $added], 'version' => $read->getVersion(),
]);
$saved = $evidence->putEvidence($task, $draft, $user);
$stale = refusal(fn () => $evidence->putEvidence($task, $draft, $user));
$place = $saved->getBlocks()[count($read->getBlocks())];
$uploaded = $evidence->uploadEvidenceFile($place->getId(), new SplFileObject($picture), $user);
$shown = $evidence->getEvidence($task, $user);

$written = fn ($block): array => [$block->getBlockType(), $block->getProvenance()->getWrittenBy()];
echo json_encode([
    'active' => [$active->getActive(), $active->getUserId()],
    'unknown' => $unknown->getActive(),
    'completed' => [
        $completed->getXpAwarded(),
        $completed->getCompletedAt()->getTimestamp(),
        array_map(fn ($block) => $block->getBlockType(), $completed->getBlocks()),
        array_map(fn ($file) => $file->getSizeBytes(), $completed->getFiles()),
    ],
    'missing' => $missing,
    'read' => array_map($written, $read->getBlocks()),
    'saved' => $saved->getStatus(),
    'stale' => $stale,
    'uploaded' => $uploaded->getFileSize(),
    'shown' => array_map($written, $shown->getBlocks()),
]), "\n";
