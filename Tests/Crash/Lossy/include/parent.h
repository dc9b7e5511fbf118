#pragma once

// Ends this process when its parent does (SIGKILL), however that ends. Returns -1 where the parent
// is not, or no more, process `parent`. To Linux
// the parent is the thread that started this process, so that must be one that lasts.
int end_with_parent(int parent);
