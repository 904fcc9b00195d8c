// A libnvrtc that has nothing but a version, and with FAKE_BUILTINS the library that the real one asks the system for
// when it compiles something.
#include "fake.h"

#ifdef FAKE_BUILTINS
__attribute__((constructor)) static void opened() { fake::log("libnvrtc-builtins"); }
#else
FAKE int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 7;
  return 0;
}
#endif
