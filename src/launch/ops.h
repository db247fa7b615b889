// One function per operation; arguments in the order of ops.def.
#pragma once
#include "context.h"

namespace nsjs::ops {

#define OP(name, kinds) Status name(Context& context, const Op& op);
#include "../plan/ops.def"
#undef OP

}  // namespace nsjs::ops
