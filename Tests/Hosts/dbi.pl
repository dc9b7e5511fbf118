use strict;
use warnings;
use DBI;

my ($extension, $store, $batch, $plain) = @ARGV;
$| = 1;

sub open_store {
  my ($path) = @_;
  return DBI->connect("dbi:SQLite:uri=file:$path?vfs=sluice", "", "",
    {RaiseError => 1, PrintError => 0});
}

sub first {
  my ($connection, $sql) = @_;
  print $connection->selectall_arrayref($sql)->[0][0], "\n";
}

sub refused {
  my ($body) = @_;
  eval { $body->(); 1 } and return;
  my $text = $DBI::errstr;
  $text =~ s/\(\d+\).*//s;
  print "$text\n";
}

my $loader = DBI->connect("dbi:SQLite:dbname=:memory:", "", "", {RaiseError => 1});
$loader->sqlite_enable_load_extension(1);
$loader->sqlite_load_extension($extension);
my $connection = open_store($store);
first($connection, "SELECT count(*) FROM item");
first($connection, "PRAGMA sluice_submit('$batch')");
first($connection, "SELECT count(*) FROM item");
first($connection, "INSERT INTO item VALUES ('nut') RETURNING name");
refused(sub { $connection->do("INSERT INTO item VALUES ('nut')") });
my $other = open_store($store);
$connection->{sqlite_use_immediate_transaction} = 0;
$connection->begin_work;
$connection->selectall_arrayref("SELECT count(*) FROM item");
$other->do("INSERT INTO item VALUES ('pin')");
refused(sub { $connection->do("INSERT INTO item VALUES ('no')") });
$connection->rollback;
first($connection, "PRAGMA sluice_submit('$batch')");
$connection->do("ATTACH ? AS plain", undef, $plain);
first($connection, "SELECT n FROM plain.t");
refused(sub { open_store($store . "x") });
first($connection, "SELECT count(*) FROM item");
