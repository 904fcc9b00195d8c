// Kernels that were chosen by time, remembered from one process to the next, so that both get the same bits: a file
// `kernels.txt` with a line "<hash of a key> <kernel's name>" for each, in the folder that FORJA_CACHE_DIR names, else
// in the user's own for such files ($XDG_CACHE_HOME/forja, ~/.cache/forja; on macOS ~/Library/Caches/forja). The first
// line of a key counts. A build takes no notice of what another one chose. What cannot be read or written is as if it
// were empty: choices then hold for the process.
#pragma once

#include <string>

namespace forja {

// The name that belongs to the key; empty where none is known.
std::string recall_choice(const std::string& key);
void remember_choice(const std::string& key, const std::string& name);

}  // namespace forja
