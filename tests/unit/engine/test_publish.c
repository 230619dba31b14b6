/* What a Decision publishes. */
#include "../unit.h"

#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "script.h"

static struct scenario *begin(struct engine_records *records, const char *text)
{
    struct err err;
    struct scenario *s = scenario_new("shop");
    scenario_environment(s, "dev", "command");
    scenario_environment(s, "prod", "command");
    script_play(s, text);
    assert_non_null(s->last);
    *records = (struct engine_records){0};
    assert_int_equal(engine_publish_requests(s->last, records, &err), 0);
    assert_int_equal(engine_publish_events(s->last, records, &err), 0);
    return s;
}

static void *unpack(const struct engine_record *record)
{
    struct err err;
    void *message = NULL;
    if (event_unpack(&message, record->topic, record->value.data, record->value.len, &err) != 0)
        fail_msg("%s: %s", record->meta.type, err.msg);
    return message;
}

/* The only record of a topic. */
static const struct engine_record *of_topic(const struct engine_records *records, enum topic topic)
{
    const struct engine_record *found = NULL;
    for (size_t i = 0; i < records->count; i++) {
        if (records->items[i].topic != topic)
            continue;
        assert_null(found);
        found = &records->items[i];
    }
    assert_non_null(found);
    return found;
}

static void end(struct scenario *s, struct engine_records *records)
{
    engine_records_free(records);
    scenario_free(s);
}

static void requests_go_first_then_every_change_but_a_command_taken_is_an_event(void **unused)
{
    static const char *const types[] = {"gantry.build.requested.v1", "gantry.revision.seen.v1",
                                        "gantry.release.started.v1", "gantry.stage.entered.v1",
                                        "gantry.action.requested.v1"};
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define simple\npush 0001\n");
    assert_int_equal(records.count, 5);
    for (size_t i = 0; i < records.count; i++) {
        const struct event_meta *meta = &records.items[i].meta;
        char id[ID_SIZE];
        assert_string_equal(meta->type, types[i]);
        event_id_pub(id, SCENARIO_EPOCH, "shop", 2, (uint32_t)i);
        assert_string_equal(meta->id, id);
        assert_string_equal(meta->source, "/gantry/promoter");
        assert_string_equal(meta->subject, i == 1 ? "shop" : "shop/1");
        assert_int_equal(meta->time_ms, s->last->time_ms);
        assert_string_equal(meta->traceparent, "");
    }
    end(s, &records);
    s = begin(&records, "define simple\npush 0001\nstop 1 wait\n");
    assert_int_equal(records.count, 1);
    assert_string_equal(records.items[0].meta.type, "gantry.release.stop-requested.v1");
    end(s, &records);
}

static void events_carry_their_order_their_cause_and_who_did_it(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define simple\npush 0001\nstop 1 wait by=bob\n");
    Gantry__V1__ReleaseEvent *event = unpack(&records.items[0]);
    assert_int_equal(event->order->epoch, SCENARIO_EPOCH);
    assert_int_equal(event->order->sequence, 3);
    assert_int_equal(event->order->index, 0);
    assert_string_equal(event->pipeline, "shop");
    assert_string_equal(event->cause_id, s->last->cause->ce_id);
    assert_string_equal(event->actor->name, "bob");
    assert_string_equal(records.items[0].key, "shop");
    event_free(event);
    end(s, &records);
}

static void a_request_is_published_whole_with_its_order_and_key(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define gate\npush 0001\nok 1 build/image VERSION=3\n");
    const struct engine_record *record = of_topic(&records, TOPIC_REQUEST_DEPLOY);
    Gantry__V1__ActionRequest *request = unpack(record);
    char id[ID_SIZE], digest[72];
    event_id_run(id, SCENARIO_EPOCH, "shop", 1, "dev", "app", 1);
    assert_string_equal(record->key, id);
    assert_string_equal(request->run_id, id);
    assert_int_equal(request->order->sequence, 3);
    assert_int_equal(request->order->index, (uint32_t)(record - records.items));
    assert_int_equal(request->deadline_ms, s->last->time_ms + request->timeout_ms);
    assert_int_equal(request->n_revisions, 1);
    assert_string_equal(request->revisions[0]->git, "https://git.example/shop.git");
    assert_string_equal(request->deploy->artifact->digest, script_digest(digest, 1, "image"));
    assert_string_equal(request->deploy->environment, "dev");
    assert_string_equal(request->deploy->command, "deploy");
    assert_int_equal(request->deploy->environment_sha256.len, SHA256_SIZE);
    assert_int_equal(request->n_variables, 1);
    assert_string_equal(request->variables[0]->key, "actions.image.VERSION");
    assert_string_equal(request->variables[0]->value, "3");
    event_free(request);
    end(s, &records);
}

static void a_request_says_what_its_checkout_has(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define checkout\npush 0001\n");
    Gantry__V1__ActionRequest *request = unpack(of_topic(&records, TOPIC_REQUEST_BUILD));
    const Gantry__V1__Revision *revision = request->revisions[0];
    assert_true(revision->submodules && revision->lfs && revision->clone);
    assert_int_equal(revision->depth, 7);
    event_free(request);
    end(s, &records);
}

static void a_request_says_in_which_image_its_commands_run(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define build-image\npush 0001\n");
    Gantry__V1__ActionRequest *request = unpack(of_topic(&records, TOPIC_REQUEST_BUILD));
    assert_string_equal(request->build->build_image, "debian:12");
    assert_string_equal(request->build->service_account, "ci");
    assert_int_equal(request->build->n_node_selector, 1);
    assert_string_equal(request->build->node_selector[0]->key, "disk");
    assert_string_equal(request->build->node_selector[0]->value, "fast");
    assert_true(request->build->privileged);
    event_free(request);
    end(s, &records);
}

static void a_build_of_a_batch_is_asked_for_with_what_both_it_and_its_action_say(void **unused)
{
    struct engine_records records;
    char id[ID_SIZE];
    (void)unused;
    struct scenario *s = begin(&records, "define batch\npush 0001\n");
    Gantry__V1__ActionRequest *request = unpack(of_topic(&records, TOPIC_REQUEST_BUILD));
    assert_true(request->build->batch);
    assert_string_equal(request->action, "image");
    event_free(request);
    end(s, &records);
    s = begin(&records,
              "define batch\npush 0001\nplan 1 build/image a image=debian:12 privileged=no\n");
    const struct engine_record *record = of_topic(&records, TOPIC_REQUEST_BUILD);
    request = unpack(record);
    event_id_run(id, SCENARIO_EPOCH, "shop", 1, "build", "image/a", 1);
    assert_string_equal(record->key, id);
    assert_string_equal(request->run_id, id);
    assert_string_equal(request->action, "image/a");
    assert_false(request->build->batch);
    assert_string_equal(request->build->buildspec, "buildspec.yml");
    assert_string_equal(request->build->image, "registry.example/shop");
    assert_int_equal(request->build->n_env, 2);
    assert_string_equal(request->build->env[0]->value, "1");
    assert_string_equal(request->build->env[1]->value, "of the batch");
    assert_true(request->build->cpu == 2 && request->build->memory_bytes == 1 << 30);
    assert_int_equal(request->timeout_ms, 10 * 60 * 1000);
    assert_string_equal(request->build->build_image, "");
    assert_string_equal(request->build->batch_image, "debian:12");
    assert_int_equal(request->build->batch_privilege_case,
                     GANTRY__V1__BUILD_SPEC__BATCH_PRIVILEGE_BATCH_PRIVILEGED);
    assert_false(request->build->batch_privileged);
    event_free(request);
    end(s, &records);
    s = begin(&records, "define batch\npush 0001\nplan 1 build/image a\n");
    request = unpack(of_topic(&records, TOPIC_REQUEST_BUILD));
    assert_string_equal(request->build->batch_image, "");
    assert_int_equal(request->build->batch_privilege_case, 0);
    event_free(request);
    end(s, &records);
}

static void a_cancel_goes_the_way_of_its_request(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define simple\npush 0001\nstop 1 abandon\n");
    const struct engine_record *record = of_topic(&records, TOPIC_REQUEST_BUILD);
    Gantry__V1__ActionRequest *request = unpack(record);
    char id[ID_SIZE];
    event_id_run(id, SCENARIO_EPOCH, "shop", 1, "build", "image", 1);
    assert_string_equal(record->key, id);
    assert_int_equal(request->verb, GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL);
    assert_string_equal(request->cancel_reason, "it was stopped");
    event_free(request);
    end(s, &records);
}

static void an_approval_is_asked_for_with_what_decides_it(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define author\n"
                                         "push 0001 people=Bob@x,ann@x\n"
                                         "ok 1 build/image\n");
    const struct engine_record *record = of_topic(&records, TOPIC_REQUEST_APPROVAL);
    Gantry__V1__ApprovalRequest *request = unpack(record);
    char digest[72];
    assert_string_equal(record->key, request->approval_id);
    assert_int_equal(request->verb, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN);
    assert_string_equal(request->gate, "approval");
    assert_string_equal(request->digest, script_digest(digest, 1, "image"));
    assert_string_equal(request->previous_digest, "");
    assert_int_equal(request->n_authors, 2);
    assert_string_equal(request->authors[0], "ann@x");
    assert_string_equal(request->authors[1], "bob@x");
    assert_true(request->authors_complete);
    assert_int_equal(request->expires_ms - request->opened_ms, INT64_C(7) * 24 * 3600 * 1000);
    event_free(request);
    end(s, &records);
    s = begin(&records, "define two-votes\npush 0001\nok 1 build/image\n"
                        "approve 1 prod/approval bob\n");
    request = unpack(of_topic(&records, TOPIC_REQUEST_APPROVAL));
    assert_int_equal(request->verb, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CHANGED);
    assert_int_equal(request->n_votes, 1);
    assert_string_equal(request->votes[0]->voter->name, "bob");
    event_free(request);
    end(s, &records);
}

static void an_approval_action_is_asked_of_no_executor(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define inside\npush 0001\nok 1 build/image\n");
    of_topic(&records, TOPIC_REQUEST_APPROVAL);
    for (size_t i = 0; i < records.count; i++)
        assert_true(records.items[i].topic == TOPIC_EVENT ||
                    records.items[i].topic == TOPIC_REQUEST_APPROVAL);
    end(s, &records);
}

static void the_public_event_leaves_the_definitions_bytes_out(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define simple\n");
    Gantry__V1__ReleaseEvent *event = unpack(&records.items[0]);
    assert_int_equal(event->definition_taken->number, 1);
    assert_int_equal(event->definition_taken->yaml.len, 0);
    assert_int_equal(event->definition_taken->sha256.len, SHA256_SIZE);
    assert_string_equal(event->actor->subject, "token:ann");
    event_free(event);
    assert_true(s->last->changes[0]->definition_taken->yaml.len > 0);
    end(s, &records);
}

static void inputs_messages_and_env_are_expanded_when_they_are_requested(void **unused)
{
    struct engine_records records;
    (void)unused;
    struct scenario *s = begin(&records, "define vars\npush 0001\nok 1 build/image VERSION=1.2\n");
    Gantry__V1__ActionRequest *request = unpack(of_topic(&records, TOPIC_REQUEST_CUSTOM));
    assert_int_equal(request->custom->n_input, 1);
    assert_string_equal(request->custom->input[0]->value,
                        "1 info 1.2 0001000000000000000000000000000000000000 shop");
    assert_int_equal(request->custom->n_artifacts, 1);
    event_free(request);
    end(s, &records);
}

static char *target_of(const char *text)
{
    struct engine_records records;
    struct scenario *s = begin(&records, text);
    Gantry__V1__ActionRequest *request = unpack(of_topic(&records, TOPIC_REQUEST_DEPLOY));
    const ProtobufCBinaryData *yaml = &request->deploy->target_yaml;
    char *target = yaml->len ? mem_strndup((const char *)yaml->data, yaml->len) : mem_strdup("");
    event_free(request);
    end(s, &records);
    return target;
}

static void a_target_is_given_to_its_driver_with_its_names_filled_in(void **unused)
{
    (void)unused;
    char *target = target_of("define target\nenvironment dev kubernetes\npush 0001\nfail 1 "
                             "build/image\nstart NS=x1\nok 2 build/image NAME=web\n");
    assert_string_equal(target, "kubernetes:\n  namespace: \"a-x1\"\n  statefulset: \"b\"\n  "
                                "container: \"web\"\n");
    free(target);
    target = target_of("define simple\nenvironment dev command\npush 0001\nok 1 build/image\n");
    assert_string_equal(target, "");
    free(target);
}

static void a_value_cannot_become_more_of_a_target_than_a_value(void **unused)
{
    (void)unused;
    char *target =
        target_of("define docker\nenvironment dev docker\npush 0001\nfail 1 build/image\nstart "
                  "NS=x\",privileged:\"true\nok 2 build/image\n");
    assert_string_equal(target, "docker:\n  container: \"x\\\",privileged:\\\"true\"\n");
    free(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_given_to_its_driver_with_its_names_filled_in),
        cmocka_unit_test(a_value_cannot_become_more_of_a_target_than_a_value),
        cmocka_unit_test(requests_go_first_then_every_change_but_a_command_taken_is_an_event),
        cmocka_unit_test(events_carry_their_order_their_cause_and_who_did_it),
        cmocka_unit_test(a_request_is_published_whole_with_its_order_and_key),
        cmocka_unit_test(a_request_says_what_its_checkout_has),
        cmocka_unit_test(a_request_says_in_which_image_its_commands_run),
        cmocka_unit_test(a_build_of_a_batch_is_asked_for_with_what_both_it_and_its_action_say),
        cmocka_unit_test(a_cancel_goes_the_way_of_its_request),
        cmocka_unit_test(an_approval_is_asked_for_with_what_decides_it),
        cmocka_unit_test(an_approval_action_is_asked_of_no_executor),
        cmocka_unit_test(the_public_event_leaves_the_definitions_bytes_out),
        cmocka_unit_test(inputs_messages_and_env_are_expanded_when_they_are_requested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
