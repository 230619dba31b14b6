#include "buildah/docker.h"

#include "tests/unit/unit.h"

static const char json[] =
    "{\"Id\": \"x\", \"Size\": 12, \"On\": true, \"None\": null, \"Empty\": [],"
    " \"Env\": [\"A=1\", \"B=2\"], \"Config\": {\"Labels\": {\"a.b\": \"c\", \"d\": \"e\"}}}";

static void says(const char *format, const char *expected)
{
    struct buf out;
    struct err err = {0};
    buf_init(&out, 4096);
    if (template_print_text(format, json, &out, &err) < 0)
        fail_msg("%s: %s", format, err.msg);
    assert_string_equal(buf_cstr(&out), expected);
    buf_release(&out);
}

static void is_refused(const char *format, const char *why)
{
    struct buf out;
    struct err err = {0};
    buf_init(&out, 4096);
    if (template_print_text(format, json, &out, &err) == 0)
        fail_msg("'%s' says '%s'", format, buf_cstr(&out));
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.msg, why))
        fail_msg("%s: %s", format, err.msg);
    buf_release(&out);
}

static void paths_and_functions(void **state)
{
    (void)state;
    says("a {{.Id}} b", "a x b");
    says("{{ .Size }}{{.On}}", "12true");
    says("{{.None}} {{.Missing}}", "<no value> <no value>");
    says("{{index .Env 1}}", "B=2");
    says("{{index .Config.Labels \"a.b\"}}", "c");
    says("{{index .Config.Labels \"none\"}}", "");
    says("{{(index .Env 0)}}", "A=1");
    says("{{json .Env}} {{.Env}}", "[\"A=1\",\"B=2\"] [A=1 B=2]");
    says("{{.Config.Labels}}", "map[a.b:c d:e]");
    says("{{len .Env}} {{join .Env \",\"}} {{.Env | json}}", "2 A=1,B=2 [\"A=1\",\"B=2\"]");
    says("{{print .Id .Size}}", "x12");
    says("{{/* nothing */}}", "");
}

static void range_if_and_else(void **state)
{
    (void)state;
    says("{{range .Env}}{{println .}}{{end}}.", "A=1\nB=2\n.");
    says("{{range .Empty}}x{{else}}none{{end}}", "none");
    says("{{range .Env}}{{.}}{{else}}none{{end}}", "A=1B=2");
    says("{{if .On}}yes{{else}}no{{end}} {{if .Empty}}yes{{else}}no{{end}}", "yes no");
    says("{{if .None}}{{range .Env}}{{if .}}a{{end}}{{end}}{{end}}b", "b");
    says("{{range .Config.Labels}}{{.}} {{end}}", "c e ");
}

static void blanks_are_trimmed_where_it_says_so(void **state)
{
    (void)state;
    says("a \n{{- .Id -}}\n b", "axb");
    says("{{range .Env -}}  {{.}}  {{- end}}", "A=1B=2");
}

static void what_go_knows_and_this_does_not_is_refused(void **state)
{
    (void)state;
    is_refused("{{upper .Id}}", "a function that is not known");
    is_refused("{{$x := .Id}}", "something that is not known");
    is_refused("{{.Id", "a }} is missing");
    is_refused("{{range .Env}}", "{{end}} is missing");
    is_refused("{{end}}", "{{end}} too many");
    is_refused("{{index .Env 7}}", "out of range");
    is_refused("{{index .Empty 0}}", "out of range");
    is_refused("{{(.Id}}", "a ) is missing");
    is_refused("{{((((((((((((((((((((((((((.Id))))))))))))))))))))))))))}}", "too deep");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_functions),
        cmocka_unit_test(range_if_and_else),
        cmocka_unit_test(blanks_are_trimmed_where_it_says_so),
        cmocka_unit_test(what_go_knows_and_this_does_not_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
