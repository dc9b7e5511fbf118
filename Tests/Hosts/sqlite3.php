<?php
// The class SQLite3. It makes a path of what it opens, so a store is attached.
[, $extension, $store, $batch, $plain] = $argv;

$connection = new SQLite3(':memory:');
$connection->enableExceptions(true);
$connection->loadExtension(basename($extension));

function refused(callable $body): void {
  try {
    $body();
  } catch (Exception $error) {
    echo preg_replace('/^.*unable to open database: .*$/', 'unable to open database file',
      $error->getMessage()), "\n";
  }
}

$connection->exec("ATTACH 'file:$store?vfs=sluice' AS store");
echo $connection->querySingle("SELECT count(*) FROM item"), "\n";
echo $connection->querySingle("PRAGMA store.sluice_submit('$batch')"), "\n";
echo $connection->querySingle("SELECT count(*) FROM item"), "\n";
echo $connection->querySingle("SELECT 'nut'"), "\n";
$connection->exec("INSERT INTO item VALUES ('nut')");
refused(fn() => $connection->exec("INSERT INTO item VALUES ('nut')"));
$other = new SQLite3(':memory:');
$other->enableExceptions(true);
$other->exec("ATTACH 'file:$store?vfs=sluice' AS store");
$connection->exec("BEGIN");
$connection->querySingle("SELECT count(*) FROM item");
$other->exec("INSERT INTO item VALUES ('pin')");
refused(fn() => $connection->exec("INSERT INTO item VALUES ('no')"));
$connection->exec("ROLLBACK");
echo $connection->querySingle("PRAGMA store.sluice_submit('$batch')"), "\n";
$connection->exec("ATTACH '$plain' AS plain");
echo $connection->querySingle("SELECT n FROM plain.t"), "\n";
refused(fn() => $connection->exec("ATTACH 'file:{$store}x?vfs=sluice' AS missing"));
echo $connection->querySingle("SELECT count(*) FROM item"), "\n";
