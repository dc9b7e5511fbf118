# The sqlite3 command. `.open` comes after `.load`; what is named on its command line is opened before.
"${SQLITE3:-sqlite3}" -batch <<END 2>&1 | sed -E 's/^(Runtime error|Error): near line [0-9]+: //; s/^Error: near line [0-9]+: //; s/ \([0-9]+\)$//; s/^Error: unable to open database ".*": unable/unable/; s/^Runtime error near line [0-9]+: //; s/^Error near line [0-9]+: //; s/^Parse error near line [0-9]+: //'
.load $1
.open 'file:$2?vfs=sluice'
SELECT count(*) FROM item;
PRAGMA sluice_submit('$3');
SELECT count(*) FROM item;
INSERT INTO item VALUES ('nut') RETURNING name;
INSERT INTO item VALUES ('nut');
BEGIN;
SELECT NULL FROM item WHERE 0;
.shell ${SQLITE3:-sqlite3} -batch -cmd '.load $1' -cmd ".open file:$2?vfs=sluice" :memory: "INSERT INTO item VALUES ('pin')"
INSERT INTO item VALUES ('no');
ROLLBACK;
PRAGMA sluice_submit('$3');
ATTACH '$4' AS plain;
SELECT n FROM plain.t;
.open 'file:$2x?vfs=sluice'
.open 'file:$2?vfs=sluice'
SELECT count(*) FROM item;
END
