"""The other side of an ExeBench function: a C program that sets its parameters and globals from a
JSON vector, calls it, and compares what they hold afterwards.

The program is made from the function's own text: it is compiled with the text in front, by the
host compiler, and its definitions are then made weak, so that the linker takes the function and
the globals of the object under test. Types are never parsed: the compiler's typeof does it. Only
the parameters' types, as clang prints them, are taken from outside.
"""
import json
import math
import subprocess

HEAD = r"""
#define H_PTR(e) __builtin_choose_expr(__builtin_classify_type(e) == 5, (e), &(e))
#define H_IS_ARRAY(e) (!__builtin_types_compatible_p(__typeof__(e), __typeof__(&(e)[0])))
static int h_wrong;
static void h_check(const char *what, int ok)
{
    if (!ok) { h_wrong++; __builtin_printf("%s differs\n", what); }
}
static int h_near(long double a, long double b)
{
    long double d = a > b ? a - b : b - a, m = a < 0 ? -a : a;
    return (a != a && b != b) || a == b || d <= 1e-5L * m || d <= 1e-9L;
}
static void *h_room(unsigned long n, unsigned long size)
{
    return __builtin_calloc(n + 64, size < 8 ? 8 : size);
}
/* A pointer is given room for n of what it points at; an array has it. */
#define H_ROOM(e, n) do { if (!H_IS_ARRAY(e)) { \
        void *h_p = h_room(n, sizeof *(e)); __builtin_memcpy((void *)&(e), &h_p, 8); } } while (0)
#define H_ROOM_ONE(e) do { if (__builtin_classify_type(e) == 5 && sizeof (e) == 8) { \
        void *h_p = h_room(1, sizeof *H_PTR(e)); \
        __builtin_memcpy((void *)&(e), &h_p, 8); } } while (0)
"""


class NoHarness(Exception):
    """The vector does not fit the function; the text says why."""


def literal(value):
    if isinstance(value, float):
        if math.isnan(value):
            return "__builtin_nan(\"\")"
        if math.isinf(value):
            return "__builtin_inf()" if value > 0 else "-__builtin_inf()"
        return repr(value)
    value = int(value)
    if -2**63 < value < 2**63:
        return f"{value}ll"
    return f"{value % 2**64}ull"


def text(value):
    return json.dumps(value, ensure_ascii=True)


def set_lines(place, value):
    if isinstance(value, dict):
        lines = [f"H_ROOM_ONE({place});"]
        for name, part in value.items():
            lines += set_lines(f"H_PTR({place})->{name}", part)
        return lines
    if isinstance(value, list):
        lines = [f"H_ROOM({place}, {len(value)});"]
        for i, part in enumerate(value):
            lines += set_lines(f"({place})[{i}]", part)
        return lines
    if isinstance(value, str):
        size = len(value.encode()) + 1
        return [f"H_ROOM({place}, {size + 256});",
                f"__builtin_memcpy({place}, {text(value)}, {size});"]
    if value is None:
        return []
    return [f"{place} = (__typeof__({place})){literal(value)};"]


def check_lines(place, value, name):
    if isinstance(value, dict):
        return [line for key, part in value.items()
                for line in check_lines(f"H_PTR({place})->{key}", part, f"{name}.{key}")]
    if isinstance(value, list):
        return [line for i, part in enumerate(value)
                for line in check_lines(f"({place})[{i}]", part, f"{name}[{i}]")]
    if isinstance(value, str):
        return [f"h_check({text(name)}, __builtin_strcmp((char *)({place}), {text(value)}) == 0);"]
    if value is None:
        return []
    if isinstance(value, float):
        return [f"h_check({text(name)}, h_near({place}, (__typeof__({place})){literal(value)}));"]
    return [f"h_check({text(name)}, {place} == (__typeof__({place})){literal(value)});"]


def functions_of(path):
    """[(name, result type, [(parameter, type)])] of the functions that the file defines."""
    run = subprocess.run(["clang-14", "-w", "-Xclang", "-ast-dump=json", "-fsyntax-only",
                          str(path)], capture_output=True, text=True)
    if run.returncode:
        raise NoHarness("clang does not read it: " + run.stderr.strip().splitlines()[0])
    found = []
    for node in json.loads(run.stdout)["inner"]:
        inner = node.get("inner", [])
        if node["kind"] != "FunctionDecl" or not any(n["kind"] == "CompoundStmt" for n in inner):
            continue
        params = [(n.get("name"), n["type"]["qualType"]) for n in inner
                  if n["kind"] == "ParmVarDecl"]
        result = node["type"]["qualType"].split("(", 1)[0].strip()
        found.append((node["name"], result, params))
    return found


def harness(source, path, given, wanted):
    """The text of the program around `source` (the contents of path)."""
    functions = functions_of(path)
    if not functions:
        raise NoHarness("it defines no function")
    name, result, params = max(functions, key=lambda f: sum(p in given for p, _ in f[2]))
    lines = [f"__typeof__({kind}) {param};" for param, kind in params]
    lines += [f"__builtin_memset(&{param}, 0, sizeof {param});" for param, _ in params]
    for place, value in given.items():
        lines += set_lines(place, value)
    call = f"{name}({', '.join(param for param, _ in params)})"
    lines.append(f"{call};" if result == "void" else f"__typeof__({call}) h_result = {call};")
    for place, value in wanted.items():
        if place == "returnv":
            if result != "void":
                lines += check_lines("h_result", value, "result")
        else:
            lines += check_lines(place, value, place)
    body = "\n".join("    " + line for line in lines)
    return f"{source}\n{HEAD}\nint main(void)\n{{\n{body}\n    return h_wrong != 0;\n}}\n"
