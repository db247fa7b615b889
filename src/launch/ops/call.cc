#include "../ops.h"

namespace nsjs::ops {

// For settings of a process that take one system call. TypeScript decides on the call and its arguments.
Status Call(Context&, const Op& op) {
  return sys::to_status(op.arg[0], sys::raw(op.arg[0], op.arg[1], op.arg[2], op.arg[3], op.arg[4], op.arg[5]));
}

// Like Call, with a structure as one of the arguments; the others keep their order.
Status CallWith(Context& context, const Op& op) {
  long arguments[5] = {};
  for (unsigned index = 0, next = 3; index < 5; ++index) {
    const bool is_text = index == op.arg[1];
    arguments[index] = is_text ? sys::as_arg(context.plan.text(op.arg[2]).data) : next < kOpArgs ? op.arg[next] : 0;
    if (!is_text) ++next;
  }
  return sys::to_status(op.arg[0], sys::raw(op.arg[0], arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]));
}

}  // namespace nsjs::ops
