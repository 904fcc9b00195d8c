// The bookkeeping of kept.h.
#include "kept.h"

namespace forja {

bool KeptWeights::allocate(const std::vector<const Kernel*>& kernels, std::vector<Call>& calls,
                           const std::vector<uint64_t*>& versions) {
  std::vector<bool> is_written(versions.size());
  for (const Call& call : calls) {
    for (int i = 0; i < call.n_out; i++) {
      const fj_value& value = *call.out[i].value;
      if (value.storage == FJ_BUFFER) is_written[value.index] = true;
    }
  }
  for (size_t i = 0; i < versions.size(); i++) {
    if (is_written[i]) written_.push_back(versions[i]);
  }
  size_t bytes = 0;
  for (size_t i = 0; i < calls.size(); i++) {
    if (kernels[i]->kept == nullptr) continue;
    Entry entry{i, bytes, {}, {}};
    for (int k = 1; k < calls[i].n_in; k++) {
      const fj_value& value = *calls[i].in[k].value;
      if (value.storage == FJ_BUFFER && !is_written[value.index]) entry.sources.push_back(versions[value.index]);
    }
    if (entry.sources.size() + 1 != static_cast<size_t>(calls[i].n_in)) continue;
    bytes += (kernels[i]->kept(calls[i]) + FJ_ALIGNMENT - 1) / FJ_ALIGNMENT * FJ_ALIGNMENT;
    entries_.push_back(std::move(entry));
  }
  if (bytes > 0 && !memory_.allocate(bytes)) return false;
  for (const Entry& entry : entries_) calls[entry.call].kept = memory_.data() + entry.offset;
  return true;
}

void KeptWeights::begin(std::vector<Call>& calls) {
  for (Entry& entry : entries_) {
    bool holds = !entry.versions.empty();
    for (size_t i = 0; holds && i < entry.sources.size(); i++) holds = entry.versions[i] == *entry.sources[i];
    calls[entry.call].is_kept = holds;
    if (!holds) entry.versions.clear();
  }
}

void KeptWeights::end(const std::vector<Call>& calls, bool whole) {
  for (uint64_t* version : written_) ++*version;
  if (!whole) return;
  for (Entry& entry : entries_) {
    if (calls[entry.call].is_kept) continue;
    for (const uint64_t* source : entry.sources) entry.versions.push_back(*source);
  }
}

}  // namespace forja
