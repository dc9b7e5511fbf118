<?php
// PDO. Before PHP 8.4 only the class SQLite3 loads extensions, from `sqlite3.extension_dir`; both use one
// library, which knows the file system from then on.
[, $extension, $store, $batch, $plain] = $argv;

function open_store(string $path): PDO {
  return new PDO("sqlite:file:$path?vfs=sluice", null, null,
    [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function first(PDO $connection, string $sql): void {
  echo $connection->query($sql)->fetchAll(PDO::FETCH_NUM)[0][0], "\n";
}

function refused(callable $body): void {
  try {
    $body();
  } catch (PDOException $error) {
    echo preg_replace('/^SQLSTATE\[\w+\]( \[\d+\]|: .*?: \d+) /', '', $error->getMessage()), "\n";
  }
}

$loader = new SQLite3(':memory:');
$loader->loadExtension(basename($extension));
$connection = open_store($store);
first($connection, "SELECT count(*) FROM item");
first($connection, "PRAGMA sluice_submit('$batch')");
first($connection, "SELECT count(*) FROM item");
first($connection, "INSERT INTO item VALUES ('nut') RETURNING name");
refused(fn() => $connection->exec("INSERT INTO item VALUES ('nut')"));
$other = open_store($store);
$connection->beginTransaction();
$connection->query("SELECT count(*) FROM item")->fetchAll();
$other->exec("INSERT INTO item VALUES ('pin')");
refused(fn() => $connection->exec("INSERT INTO item VALUES ('no')"));
$connection->rollBack();
first($connection, "PRAGMA sluice_submit('$batch')");
$connection->exec("ATTACH '$plain' AS plain");
first($connection, "SELECT n FROM plain.t");
refused(fn() => open_store($store . "x"));
first($connection, "SELECT count(*) FROM item");
