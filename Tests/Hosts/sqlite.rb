require "sqlite3"

extension, store, batch, plain = ARGV

def open_store(path)
  flags = SQLite3::Constants::Open::READWRITE | SQLite3::Constants::Open::URI
  SQLite3::Database.new("file:#{path}?vfs=sluice", flags: flags)
end

def refused
  yield
rescue SQLite3::Exception => error
  puts error.message
end

loader = SQLite3::Database.new(":memory:")
loader.enable_load_extension(true)
loader.load_extension(extension)
connection = open_store(store)
puts connection.get_first_value("SELECT count(*) FROM item")
puts connection.get_first_value("PRAGMA sluice_submit('#{batch}')")
puts connection.get_first_value("SELECT count(*) FROM item")
puts connection.execute("INSERT INTO item VALUES ('nut') RETURNING name")[0][0]
refused { connection.execute("INSERT INTO item VALUES ('nut')") }
other = open_store(store)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM item")
other.execute("INSERT INTO item VALUES ('pin')")
refused { connection.execute("INSERT INTO item VALUES ('no')") }
connection.execute("ROLLBACK")
puts connection.get_first_value("PRAGMA sluice_submit('#{batch}')")
connection.execute("ATTACH ? AS plain", [plain])
puts connection.get_first_value("SELECT n FROM plain.t")
refused { open_store(store + "x") }
puts connection.get_first_value("SELECT count(*) FROM item")
