// The bookkeeping of kept.h.
#include "kept.h"

namespace forja {

std::vector<bool> written_buffers(const fj_program_view& view) {
  std::vector<bool> written(view.header->buffer_count);
  for (uint32_t i = 0; i < view.header->instr_count; i++) {
    const fj_instr& instr = view.instrs[i];
    for (uint32_t k = 0; k < instr.n_out; k++) {
      const fj_value& value = view.values[view.operands[instr.operands + instr.n_in + k]];
      if (value.storage == FJ_BUFFER) written[value.index] = true;
    }
  }
  return written;
}

bool may_keep(const Call& call, const std::vector<bool>& written) {
  for (int k = 1; k < call.n_in; k++) {
    const fj_value& value = *call.in[k].value;
    if (value.storage != FJ_BUFFER || written[value.index]) return false;
  }
  return call.n_in > 1;
}

bool KeptWeights::allocate(const std::vector<const Kernel*>& kernels, std::vector<Call>& calls,
                           const std::vector<bool>& written, const std::vector<uint64_t*>& versions) {
  for (size_t i = 0; i < versions.size(); i++) {
    if (written[i]) written_.push_back(versions[i]);
  }
  size_t bytes = 0;
  for (size_t i = 0; i < calls.size(); i++) {
    if (kernels[i]->kept == nullptr || !may_keep(calls[i], written)) continue;
    Entry entry{i, bytes, {}, {}};
    for (int k = 1; k < calls[i].n_in; k++) entry.sources.push_back(versions[calls[i].in[k].value->index]);
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
