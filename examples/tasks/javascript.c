// Runs a JavaScript program (ES2020, QuickJS): the program is standard input, its
// arguments are scriptArgs, what it prints is standard output. An exception that
// nobody catches ends it with exit code 1.
#include <stdio.h>
#include <stdlib.h>

#include "quickjs.h"

static JSValue print(JSContext *context, JSValueConst self, int count,
                     JSValueConst *values) {
  (void)self;
  for (int i = 0; i < count; i++) {
    size_t length;
    const char *text = JS_ToCStringLen(context, &length, values[i]);
    if (!text) return JS_EXCEPTION;
    if (i) putchar(' ');
    fwrite(text, 1, length, stdout);
    JS_FreeCString(context, text);
  }
  putchar('\n');
  return JS_UNDEFINED;
}

static char *read_program(size_t *length) {
  size_t capacity = 1 << 16;
  char *program = malloc(capacity);
  *length = 0;
  while (program) {
    // One byte is left for the end that JS_Eval wants.
    size_t got = fread(program + *length, 1, capacity - *length - 1, stdin);
    if (!got) break;
    *length += got;
    if (capacity - *length > 1) continue;
    capacity *= 2;
    program = realloc(program, capacity);
  }
  if (program) program[*length] = 0;
  return program;
}

static void report(JSContext *context) {
  JSValue exception = JS_GetException(context);
  const char *text = JS_ToCString(context, exception);
  fprintf(stderr, "%s\n", text ? text : "an exception without text");
}

int main(int count, char **arguments) {
  size_t length;
  char *program = read_program(&length);
  JSRuntime *runtime = JS_NewRuntime();
  JSContext *context = runtime ? JS_NewContext(runtime) : NULL;
  if (!program || !context) {
    fputs("no memory\n", stderr);
    return 2;
  }
  JSValue global = JS_GetGlobalObject(context);
  JSValue list = JS_NewArray(context);
  for (int i = 1; i < count; i++)
    JS_SetPropertyUint32(context, list, i - 1, JS_NewString(context, arguments[i]));
  JS_SetPropertyStr(context, global, "scriptArgs", list);
  JS_SetPropertyStr(context, global, "print",
                    JS_NewCFunction(context, print, "print", 1));
  JSValue value =
      JS_Eval(context, program, length, "<task>", JS_EVAL_TYPE_GLOBAL);
  JSContext *job;
  int pending = JS_IsException(value) ? -1 : 1;
  while (pending > 0) pending = JS_ExecutePendingJob(runtime, &job);
  if (pending < 0) {
    report(context);
    return 1;
  }
  return fflush(stdout) ? 2 : 0;
}
