/* The ways between stages: what holds, what checks said, what people did. */
#include "base/id.h"
#include "events/event.h"
#include "tests/component/console/story.h"

#define EVENT(fact, member, value)                                                                 \
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;                              \
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_##fact;                                      \
    event.member = (value)

static Gantry__V1__Actor person(const char *name)
{
    Gantry__V1__Actor actor = GANTRY__V1__ACTOR__INIT;

    actor.subject = "token:somebody";
    actor.name = (char *)name;
    return actor;
}

void story_held(struct story *story, const struct story_release *release, const char *stage,
                const char *const *held, int64_t look_again_ms)
{
    Gantry__V1__StageWaiting fact = GANTRY__V1__STAGE_WAITING__INIT;
    EVENT(STAGE_WAITING, stage_waiting, &fact);

    fact.release = release->number;
    fact.stage = (char *)stage;
    fact.held_by = (char **)held;
    while (held[fact.n_held_by])
        fact.n_held_by++;
    fact.look_again_ms = look_again_ms;
    story_event(story, release->pipeline, &event);
}

void story_transition(struct story *story, const char *pipeline, const char *stage, bool enabled,
                      const char *by, const char *reason)
{
    Gantry__V1__TransitionSet fact = GANTRY__V1__TRANSITION_SET__INIT;
    Gantry__V1__Actor actor = person(by);
    EVENT(TRANSITION_SET, transition_set, &fact);

    fact.stage = (char *)stage;
    fact.enabled = enabled;
    fact.reason = (char *)reason;
    fact.by = &actor;
    story_event(story, pipeline, &event);
}

void story_pinned(struct story *story, const char *pipeline, const char *environment,
                  const char *digest, const char *by, const char *reason)
{
    Gantry__V1__EnvironmentPinned fact = GANTRY__V1__ENVIRONMENT_PINNED__INIT;
    Gantry__V1__Actor actor = person(by);
    EVENT(ENVIRONMENT_PINNED, environment_pinned, &fact);

    fact.environment = (char *)environment;
    fact.pinned = digest != NULL;
    fact.digest = (char *)(digest ? digest : "");
    fact.reason = (char *)reason;
    fact.by = &actor;
    story_event(story, pipeline, &event);
}

void story_overridden(struct story *story, const struct story_release *release, const char *stage,
                      const char *gate, const char *by, const char *reason)
{
    Gantry__V1__GateOverridden fact = GANTRY__V1__GATE_OVERRIDDEN__INIT;
    Gantry__V1__Actor actor = person(by);
    EVENT(GATE_OVERRIDDEN, gate_overridden, &fact);

    fact.release = release->number;
    fact.stage = (char *)stage;
    fact.gate = (char *)gate;
    fact.reason = (char *)reason;
    fact.by = &actor;
    story_event(story, release->pipeline, &event);
}

static void asked(struct story *story, const struct story_release *release, const char *stage,
                  char run_id[ID_SIZE])
{
    Gantry__V1__CheckAsked fact = GANTRY__V1__CHECK_ASKED__INIT;
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__CustomSpec custom = GANTRY__V1__CUSTOM_SPEC__INIT;
    EVENT(CHECK_ASKED, check_asked, &fact);

    custom.type = "error-rate";
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    request.run_id = run_id;
    request.pipeline = (char *)release->pipeline;
    request.release = release->number;
    request.stage = (char *)stage;
    request.action = "check";
    request.number = 1;
    request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM;
    request.check = true;
    request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_CUSTOM;
    request.custom = &custom;
    fact.request = &request;
    story_event(story, release->pipeline, &event);
}

void story_check(struct story *story, const struct story_release *release, const char *stage,
                 bool yes, const char *reason, int64_t ask_again_ms)
{
    Gantry__V1__CheckAnswered fact = GANTRY__V1__CHECK_ANSWERED__INIT;
    char run_id[ID_SIZE];
    EVENT(CHECK_ANSWERED, check_answered, &fact);

    event_id_run(run_id, STORY_EPOCH, release->pipeline, release->number, stage, "check", 1);
    asked(story, release, stage, run_id);
    fact.release = release->number;
    fact.stage = (char *)stage;
    fact.gate = "check";
    fact.run_id = run_id;
    fact.yes = yes;
    fact.reason = (char *)reason;
    fact.ask_again_ms = ask_again_ms;
    story_event(story, release->pipeline, &event);
}

void story_silent(struct story *story, const struct story_run *run, int64_t silent_ms)
{
    Gantry__V1__ActionSilent fact = GANTRY__V1__ACTION_SILENT__INIT;
    EVENT(ACTION_SILENT, action_silent, &fact);

    fact.release = run->release->number;
    fact.stage = (char *)run->stage;
    fact.action = (char *)run->action;
    fact.run_id = (char *)run->id;
    fact.silent_ms = silent_ms;
    story_event(story, run->release->pipeline, &event);
}
