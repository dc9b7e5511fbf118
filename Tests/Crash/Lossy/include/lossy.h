#pragma once

// A layer between this process and the disk that remembers what was not synced.
//
// Begins with the next file operation: those on files below `root` are recorded in `log`/records,
// so that a power failure can be played there later (PowerFailure.swift). What is unlinked meanwhile
// keeps a name in `log`/grave. Once for a process. Returns 0, or an errno.
int lossy_begin(const char *root, const char *log);
