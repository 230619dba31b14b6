/* The ledger's protocol (docs/ledger.md): two promoters that both take themselves for the owner of one
 * ledger partition, and all that Kafka and death may do to them. See README.md for what is checked and
 * what is left out; run checks it. Names in [] are the function that does the step in the real thing, or say that it is
 * Kafka's, death's or an executor's; run wants one before each transition.
 *
 * The ledger is written down as its chain: chain[i] is the content of the i-th record that counted.
 * A record that is void changes no reader but the one that has it in flight, so only there it is kept.
 * A record on its way is (b, c) or (b, c, d): content c that extends chain[b], or d that extends that
 * c. That is all that its hash `previous` says, and two records with the same bytes are the same. */

/* Bounds; run names others. */
#ifndef RUNS          /* runs (bits) whose results come; of source i there is run i */
#define RUNS 1
#endif
#ifndef COPIES        /* results that are written once more */
#define COPIES 0
#endif
#ifndef EMPTIES       /* empty Decisions appended */
#define EMPTIES 1
#endif
#ifndef CRASHES       /* of both promoters together */
#define CRASHES 1
#endif
#ifndef UNKNOWNS      /* appends whose outcome is unknown, of both together */
#define UNKNOWNS 1
#endif
#ifndef CUTS          /* snapshots begun */
#define CUTS 0
#endif
#ifndef OPERATOR      /* 1: an operator begins a new epoch, whenever */
#define OPERATOR 0
#endif
#ifndef LATE          /* records of the dead on their way */
#define LATE 2
#endif
#define SOURCES 2
#define RESULTS 2     /* at most */
#define FLIGHT 2      /* in flight for each promoter */
#define CHAIN (1 + SOURCES + RESULTS + EMPTIES + OPERATOR)

/* Known-wrong variants, one of them at a time. */
#define RIGHT 0
#define POSITIONS_IN_GROUP 1
#define NO_OP_OUTSIDE 2
#define FOREIGN_ONLY_FOLDED 3
#define SNAPSHOT_UNPUBLISHED 4
#define SNAPSHOT_UNCHECKED 5
#define PUBLISHED_UNREAD 6
#define RETRY_ON_NEW_HEAD 7
#define NO_SEEK 8
#define WATERMARK_EARLY 9
#define VOID_IGNORED 10
#define SNAPSHOT_SPECULATED 11
#define RESTORE_FORGETS 12
#define GENESIS_ANYWAY 13
#ifndef WRONG
#define WRONG RIGHT
#endif

/* ---- content: what a Decision's bytes say beside `previous` ---- */

/* cause: source 0, 1; result at offset 0, 1; or: */
#define EMPTY 6
#define GENESIS 7
#define NONE (-1)
/* state: bits 0, 1: source i decided; bits 2, 3: run i ended. Here it stands for the changes, which
 * engine_step() makes of it. */
#define CONTENT(cause, p0, p1, wm, st, ep) \
    ((cause) | ((p0) << 3) | ((p1) << 5) | ((wm) << 7) | ((st) << 10) | ((ep) << 14))
#define CAUSE(c) ((c) & 7)
#define P0(c) (((c) >> 3) & 3)
#define P1(c) (((c) >> 5) & 3)
#define WM(c) (((c) >> 7) & 7)
#define ST(c) (((c) >> 10) & 15)
#define EP(c) (((c) >> 14) & 1)
#define IS_SOURCE(c) (CAUSE(c) < SOURCES)
#define IS_RESULT(c) (CAUSE(c) >= SOURCES && CAUSE(c) < SOURCES + RESULTS)
#define PUBLISHES(c) (CAUSE(c) < EMPTY)
#define RUN_OF(c) result[CAUSE(c) - SOURCES]
/* A result changes something only if its run is known and goes on. [step.c engine_step] */
#define MATTERS(st, run) (((st) & (1 << (run))) && !((st) & (4 << (run))))

/* [fold.c engine_fold] */
inline fold(st, c)
{
    if
    :: IS_SOURCE(c) -> assert(!(st & (1 << CAUSE(c)))); st = st | (1 << CAUSE(c))
    :: IS_RESULT(c) -> assert(MATTERS(st, RUN_OF(c))); st = st | (4 << RUN_OF(c))
    :: else
    fi
}

/* ---- Kafka ---- */

short chain[CHAIN];
byte length;
byte state;            /* the fold of the chain */
bit epoch;
byte published;        /* bit i: what chain[i] publishes is in the topics */
byte result[RESULTS];  /* topic 1: the run that each record is of; topic 0 has SOURCES records */
byte results;
bit answered[SOURCES];
byte copies;

short late_b[LATE], late_c[LATE], late_d[LATE]; /* c NONE: free */
byte late_of[LATE]; /* 1 + promoter that lives and waits for it; 0: nobody */

/* promoter.state: two keys of the pipeline's snapshot, two of the checkpoint. */
byte snap_hash[2], snap_st[2];              /* hash: index of the pipeline's last Decision; 0: none */
byte ck_next[2], ck_slot[2], ck_hash[2];    /* next: head's index + 1; 0: none */
byte stray;                                 /* a dead promoter's on its way: 0, 1 snapshot, 2 checkpoint */
byte stray_key, stray_next, stray_slot, stray_hash, stray_st;

byte group[2];          /* positions committed (wrong variants) */
short told_b = NONE, told_c; /* PUBLISHED_UNREAD: what was published so */

byte crashes, unknowns, empties, cuts;

/* ---- promoters ---- */

#define DEAD 0
#define RUNNING 1
#define REREADING 2
#define GONE 3 /* dead or asleep for ever */
byte phase[2];
byte next[2];       /* records of the chain that were read */
byte base[2];       /* state of what counted */
byte latest[2];     /* speculated */
byte flights[2];
short flight[4];    /* at 2 * p */
byte landed[4];     /* 0: on its way; 1: in the chain; 2 + n: void, after n that counted */
byte open[2];       /* dropped, on their way */
byte reread[2];
byte pos0[2], pos1[2];
byte recorded[2];   /* the highest watermark in what it read */
byte pub[2];        /* watermark: what is below in the chain is published */
byte ck_at[2], sn_at[2], sn_hash[2]; /* newest checkpoint's key, snapshot's key and hash; 2: none */
bit unsaved[2];
byte cut[2];        /* 0: none; 1: cut; 2: snapshot on its way; 3: checkpoint on its way */
byte cut_next[2], cut_st[2], cut_hash[2], cut_slot[2];

byte i, j, k; /* only inside a d_step */
short c;

#define HEAD(p) chain[next[p] - 1]

/* ---- what must hold when a record counts ---- */

/* Each input that a Decision's positions pass is its cause or a no-op on the chain's state. */
inline check_positions(cc)
{
    assert(P0(cc) >= P0(chain[length - 1]) && P1(cc) >= P1(chain[length - 1]));
    assert(P1(cc) <= results);
    /* decided once: */
    assert(!IS_SOURCE(cc) || (CAUSE(cc) >= P0(chain[length - 1]) && CAUSE(cc) < P0(cc)));
    assert(!IS_RESULT(cc) || (CAUSE(cc) - SOURCES >= P1(chain[length - 1]) && CAUSE(cc) - SOURCES < P1(cc)));
    /* none skipped: */
    for (k : 0 .. SOURCES - 1) {
        assert(!(k >= P0(chain[length - 1]) && k < P0(cc)) || CAUSE(cc) == k)
    }
    for (k : 0 .. RESULTS - 1) {
        assert(!(k >= P1(chain[length - 1]) && k < P1(cc)) || CAUSE(cc) == SOURCES + k ||
               !MATTERS(state, result[k]))
    }
    k = 0
}

/* Forgets what is void for ever: its promoter, if it lives, is told of it now. [decide.c on_append_ack] */
inline forget_late(n)
{
    if
    :: late_of[n] -> open[late_of[n] - 1]--; reread[late_of[n] - 1] = length
    :: else
    fi;
    late_b[n] = 0; late_c[n] = NONE; late_d[n] = NONE; late_of[n] = 0
}

inline prune()
{
    for (j : 0 .. LATE - 1) {
        if
        :: late_c[j] == NONE || late_b[j] == length - 1
        :: else ->
            if
            :: late_d[j] != NONE && late_b[j] == length - 2 && chain[length - 1] == late_c[j] ->
                late_b[j] = length - 1; late_c[j] = late_d[j]; late_d[j] = NONE
            :: else -> forget_late(j)
            fi
        fi
    }
    j = 0
}

/* The record extends the head: [chain.c counts] */
inline count(cc)
{
    check_positions(cc);
    assert(ST(cc) == state || CAUSE(cc) == GENESIS); /* it was made on the state that it changes */
    assert(EP(cc) == epoch || CAUSE(cc) == GENESIS);
    /* What is below its watermark is published. */
    for (k : 1 .. CHAIN - 1) {
        assert(k >= WM(cc) || k >= length || !PUBLISHES(chain[k]) || (published & (1 << k)))
    }
    k = 0;
    fold(state, cc);
    if
    :: CAUSE(cc) == GENESIS -> epoch = EP(cc)
    :: else
    fi;
    chain[length] = cc;
    length++;
    /* What was published is what counted. */
    assert(told_b == NONE || told_b + 1 >= length || chain[told_b + 1] == told_c);
    prune()
}

/* A record of p on its way that p no longer waits for to be its own; too many: the last is lost. */
inline add_late(b, first, second, owner)
{
    j = 0;
    do
    :: j < LATE && late_c[j] != NONE -> j++
    :: else -> break
    od;
    if
    :: j < LATE ->
        late_b[j] = b; late_c[j] = first; late_d[j] = second; late_of[j] = owner;
        if
        :: owner -> open[owner - 1]++
        :: else
        fi
    :: else
    fi;
    j = 0
}

/* ---- a promoter's steps ---- */

/* [decide.c flight_forget] owner 0: p does not hear of them again. */
inline forget_flights(p, owner)
{
    if
    :: flights[p] > 0 && landed[2 * p] == 0 -> add_late(next[p] - 1, flight[2 * p], NONE, owner)
    :: else
    fi;
    if
    :: flights[p] > 1 && landed[2 * p + 1] == 0 ->
        add_late(next[p] - 1, flight[2 * p], flight[2 * p + 1], owner)
    :: else
    fi;
    flights[p] = 0;
    flight[2 * p] = 0; flight[2 * p + 1] = 0; landed[2 * p] = 0; landed[2 * p + 1] = 0;
    prune()
}

/* [confirm.c confirm_drop] */
inline drop(p)
{
    forget_flights(p, p + 1);
    latest[p] = base[p];
    phase[p] = REREADING
}

/* [publish.c publish_settle] What publishes nothing is published. */
inline settle(p)
{
    do
    :: pub[p] < next[p] && !PUBLISHES(chain[pub[p]]) -> pub[p]++
    :: else -> break
    od;
    k = 0
}

/* [partition.c partition_run, input.c input_begin] */
inline seek(p)
{
#if WRONG == POSITIONS_IN_GROUP
    pos0[p] = group[0]; pos1[p] = group[1];
#elif WRONG == NO_OP_OUTSIDE
    pos0[p] = P0(HEAD(p));
    pos1[p] = (group[1] > P1(HEAD(p)) -> group[1] : P1(HEAD(p)));
#elif WRONG == NO_SEEK
    if
    :: phase[p] != REREADING -> pos0[p] = P0(HEAD(p)); pos1[p] = P1(HEAD(p))
    :: else
    fi;
#else
    pos0[p] = P0(HEAD(p)); pos1[p] = P1(HEAD(p));
#endif
    phase[p] = RUNNING
}

#if OPERATOR
inline find_epoch(p, out)
{
    out = 0;
    for (k : 1 .. CHAIN - 1) {
        out = (k < next[p] && CAUSE(chain[k]) == GENESIS -> 1 : out)
    }
    k = 0
}
#define epoch_of(p) known_epoch
byte known_epoch;
#else
#define find_epoch(p, out) skip
#define epoch_of(p) 0
#endif

/* Appends what `cause` causes. [decide.c append_decision, decide.c making_new] */
inline append(p, cause)
{
#if WRONG == WATERMARK_EARLY
    flight[2 * p + flights[p]] = CONTENT(cause, pos0[p], pos1[p], next[p], latest[p], epoch_of(p));
#else
    flight[2 * p + flights[p]] = CONTENT(cause, pos0[p], pos1[p], pub[p], latest[p], epoch_of(p));
#endif
    fold(latest[p], flight[2 * p + flights[p]]);
    flights[p]++
}

/* The next record of the chain: its effect on the state that is confirmed. [confirm.c fold_decision] */
inline take(p)
{
    assert(base[p] == ST(chain[next[p]]) || CAUSE(chain[next[p]]) == GENESIS);
    fold(base[p], chain[next[p]]);
    if
    :: PUBLISHES(chain[next[p]]) -> unsaved[p] = 1 /* [checkpoint.c checkpoint_changed] */
    :: else
    fi;
    /* [publish.c publish_forget] */
    pub[p] = (WM(chain[next[p]]) > pub[p] -> WM(chain[next[p]]) : pub[p]);
    recorded[p] = (WM(chain[next[p]]) > recorded[p] -> WM(chain[next[p]]) : recorded[p]);
    next[p]++;
    settle(p)
}

/* [decide.c flight_confirm] */
inline confirm(p)
{
    take(p);
    flight[2 * p] = flight[2 * p + 1]; landed[2 * p] = landed[2 * p + 1];
    flight[2 * p + 1] = 0; landed[2 * p + 1] = 0;
    flights[p]--
}

/* [confirm.c counted] */
inline read_ledger(p)
{
    if
    :: flights[p] > 0 && flight[2 * p] == chain[next[p]] -> confirm(p)
#if WRONG == FOREIGN_ONLY_FOLDED
    :: flights[p] == 0 && phase[p] == RUNNING -> take(p); latest[p] = base[p]
#endif
#if WRONG == RETRY_ON_NEW_HEAD
    :: flights[p] > 0 && flight[2 * p] != chain[next[p]] ->
        take(p); landed[2 * p] = 0; landed[2 * p + 1] = 0
#endif
    :: else -> drop(p); take(p); latest[p] = base[p]
    fi
}

#define OWN_VOID(p) ((flights[p] > 0 && landed[2 * (p)] == 2 + next[p]) || \
                     (flights[p] > 1 && landed[2 * (p) + 1] == 2 + next[p]))
#define ALIVE(p) (phase[p] == RUNNING || phase[p] == REREADING)

inline forget_cut(p)
{
    cut[p] = 0; cut_next[p] = 0; cut_st[p] = 0; cut_hash[p] = 0; cut_slot[p] = 0
}

/* Loses its memory; what is on its way is so without it. */
inline crash(p)
{
    forget_flights(p, 0);
    for (i : 0 .. LATE - 1) {
        late_of[i] = (late_of[i] == p + 1 -> 0 : late_of[i])
    }
    i = 0;
    if
    :: cut[p] >= 2 && !stray ->
        stray = cut[p] - 1;
        stray_key = (cut[p] == 2 -> cut_slot[p] : (ck_at[p] == 0 -> 1 : 0));
        stray_slot = cut_slot[p]; stray_hash = cut_hash[p];
        stray_next = (cut[p] == 3 -> cut_next[p] : 0); stray_st = (cut[p] == 2 -> cut_st[p] : 0)
    :: else
    fi;
    phase[p] = DEAD; next[p] = 0; base[p] = 0; latest[p] = 0; open[p] = 0; reread[p] = 0;
    pos0[p] = 0; pos1[p] = 0; pub[p] = 0; recorded[p] = 0; ck_at[p] = 2; sn_at[p] = 2; sn_hash[p] = 0;
    unsaved[p] = 0;
    forget_cut(p)
}

/* A checkpoint whose snapshot is the one that it names. [restore.c next_candidate, saved.c is_as_named] */
#if WRONG == SNAPSHOT_UNCHECKED
#define USABLE(n) (ck_next[n] > 0)
#else
#define USABLE(n) (ck_next[n] > 0 && snap_hash[ck_slot[n]] == ck_hash[n])
#endif

/* From the topics, at one moment: that it takes time is the same as to sleep afterwards.
 * [restore.c restore_begin, restore.c choose, restore.c head_found, restore.c finish] */
inline restore(p)
{
    j = (ck_next[1] > ck_next[0] -> 1 : 0); /* the newer one. [saved.c is_newer] */
    if
    :: USABLE(j)
    :: else -> j = 1 - j
    fi;
    if
    :: USABLE(j) -> /* [chain.c chain_resume, restore.c load_snapshot] */
        next[p] = ck_next[j]; pub[p] = ck_next[j]; base[p] = snap_st[ck_slot[j]];
        ck_at[p] = j; sn_at[p] = ck_slot[j]; sn_hash[p] = ck_hash[j]
    :: else -> next[p] = 1; pub[p] = 1; base[p] = 0 /* [restore.c fold_from_beginning] */
    fi;
    j = 0;
    do
    :: next[p] < length -> take(p)
    :: else -> break
    od;
#if WRONG == RESTORE_FORGETS
    pub[p] = next[p];
#endif
    latest[p] = base[p];
    settle(p); /* [restore.c publish_rest] */
    seek(p)
}

/* The last Decision of the pipeline among the first n. */
inline find_hash(n, out)
{
    out = n - 1;
    do
    :: out > 0 && !PUBLISHES(chain[out]) -> out--
    :: else -> break
    od
}

/* Published below the watermark that a Decision would record, above the one that is recorded, and
 * worth recording. */
#define UNRECORDED(p, n) ((n) < pub[p] && (n) >= recorded[p] && PUBLISHES(chain[n]))
/* [decide.c decide_empty_due] */
#define EMPTY_DUE(p) (pos0[p] != P0(HEAD(p)) || pos1[p] != P1(HEAD(p)) || UNRECORDED(p, 1) || \
                      UNRECORDED(p, 2) || UNRECORDED(p, 3) || UNRECORDED(p, 4) MORE_UNRECORDED(p))
#if CHAIN > 6
#define MORE_UNRECORDED(p) || UNRECORDED(p, 5) || UNRECORDED(p, 6)
#elif CHAIN > 5
#define MORE_UNRECORDED(p) || UNRECORDED(p, 5)
#else
#define MORE_UNRECORDED(p)
#endif

#if WRONG == POSITIONS_IN_GROUP
inline acknowledge(cc)
{
    group[0] = (P0(cc) > group[0] -> P0(cc) : group[0]);
    group[1] = (P1(cc) > group[1] -> P1(cc) : group[1])
}
#else
#define acknowledge(cc) skip
#endif

inline owned(n)
{
    if
    :: late_of[n] -> open[late_of[n] - 1]--; reread[late_of[n] - 1] = length + 1
    :: else
    fi
}

inline forget_stray()
{
    stray = 0; stray_key = 0; stray_next = 0; stray_slot = 0; stray_hash = 0; stray_st = 0
}

#if WRONG == SNAPSHOT_UNPUBLISHED
#define MAY_WRITE(p) true
#else
#define MAY_WRITE(p) (pub[p] >= cut_next[p])
#endif

proctype promoter(bit p)
{
    do
    /* a source. [input.c step, decide.c decide_input] */
    :: d_step { phase[p] == RUNNING && flights[p] < FLIGHT && pos0[p] < SOURCES ->
        find_epoch(p, known_epoch);
        c = pos0[p]; pos0[p]++; append(p, c); c = 0; }

    /* a result that changes something. [input.c step, decide.c decide_input] */
    :: d_step { phase[p] == RUNNING && flights[p] < FLIGHT && pos1[p] < results &&
                MATTERS(latest[p], result[pos1[p]]) ->
        find_epoch(p, known_epoch);
        c = SOURCES + pos1[p]; pos1[p]++; append(p, c); c = 0; }

    /* a result that changes nothing on the state it is held against. [input.c settle] */
    :: d_step { phase[p] == RUNNING && pos1[p] < results && !MATTERS(latest[p], result[pos1[p]]) ->
        pos1[p]++;
#if WRONG == NO_OP_OUTSIDE
        group[1] = (pos1[p] > group[1] -> pos1[p] : group[1]);
#endif
        }

    /* quiet. [decide.c decide_empty, partition.c tick_running] */
    :: d_step { phase[p] == RUNNING && flights[p] == 0 && empties < EMPTIES && EMPTY_DUE(p) ->
        empties++;
        find_epoch(p, known_epoch);
        append(p, EMPTY); }

    /* the ledger read back. [confirm.c partition_on_ledger, confirm.c fold] */
    :: d_step { ALIVE(p) && next[p] < length && !OWN_VOID(p) -> read_ledger(p); }

    /* ... an own record that is void. [confirm.c voided] */
    :: d_step { ALIVE(p) && OWN_VOID(p) ->
#if WRONG == VOID_IGNORED
        landed[2 * p] = (landed[2 * p] > 1 -> 1 : landed[2 * p]);
        landed[2 * p + 1] = (landed[2 * p + 1] > 1 -> 1 : landed[2 * p + 1]);
#else
        drop(p);
#endif
        }

    /* every dropped record's fate is known and was read. [confirm.c confirm_reread_check] */
    :: d_step { phase[p] == REREADING && open[p] == 0 && next[p] >= reread[p] ->
        reread[p] = 0; seek(p); }

    /* the outcome is unknown. [decide.c append_failed, confirm.c partition_on_ledger_producer_lost] */
    :: d_step { ALIVE(p) && unknowns < UNKNOWNS && flights[p] > 0 && landed[2 * p + flights[p] - 1] == 0 ->
        unknowns++;
        forget_flights(p, 0);
        latest[p] = base[p]; phase[p] = REREADING;
        reread[p] = length; } /* [confirm.c on_ledger_end_asked] */

    /* what counted is published, acknowledged. [publish.c publish_pump, publish.c acknowledged] */
    :: d_step { ALIVE(p) && pub[p] < next[p] ->
        published = published | (1 << pub[p]); pub[p]++; settle(p); }

#if WRONG == PUBLISHED_UNREAD
    /* [publish.c publish_add, publish.c publish_add_records] */
    :: d_step { phase[p] == RUNNING && flights[p] > 0 && told_b == NONE ->
        told_b = next[p] - 1; told_c = flight[2 * p]; }
#endif

#if CUTS > 0
    /* [checkpoint.c make_cut] Only what is confirmed. */
    :: d_step { phase[p] == RUNNING && unsaved[p] && !cut[p] && cuts < CUTS ->
        cuts++; unsaved[p] = 0;
        cut[p] = 1; cut_next[p] = next[p];
#if WRONG == SNAPSHOT_SPECULATED
        cut_st[p] = latest[p];
#else
        cut_st[p] = base[p];
#endif
        find_hash(next[p], k); cut_hash[p] = k; k = 0; }

    /* [checkpoint.c checkpoint_advance, checkpoint.c write_snapshots] Only what is published. */
    :: d_step { ALIVE(p) && cut[p] == 1 && MAY_WRITE(p) ->
        if /* [checkpoint.c cut_pipeline] To the key that the newest checkpoint does not name. */
        :: sn_at[p] < 2 && sn_hash[p] == cut_hash[p] -> cut_slot[p] = sn_at[p]; cut[p] = 3
        :: else -> cut_slot[p] = (sn_at[p] == 0 -> 1 : 0); cut[p] = 2
        fi; }

    /* [checkpoint.c on_ack, checkpoint.c write_checkpoint] */
    :: d_step { ALIVE(p) && cut[p] == 2 ->
        snap_hash[cut_slot[p]] = cut_hash[p]; snap_st[cut_slot[p]] = cut_st[p];
        cut[p] = 3; cut_st[p] = 0; }

    /* [checkpoint.c done] */
    :: d_step { ALIVE(p) && cut[p] == 3 ->
        ck_at[p] = (ck_at[p] == 0 -> 1 : 0);
        ck_next[ck_at[p]] = cut_next[p]; ck_slot[ck_at[p]] = cut_slot[p]; ck_hash[ck_at[p]] = cut_hash[p];
        sn_at[p] = cut_slot[p]; sn_hash[p] = cut_hash[p];
        forget_cut(p); }
#endif

    /* its records land, in any order; the broker knows no chain. [Kafka] */
    :: d_step { ALIVE(p) && flights[p] > 0 && landed[2 * p] == 0 && length == next[p] ->
        landed[2 * p] = 1; c = flight[2 * p]; acknowledge(c); count(c); c = 0; }
    /* ... the second after the first. [Kafka] */
    :: d_step { ALIVE(p) && flights[p] > 1 && landed[2 * p + 1] == 0 && length == next[p] + 1 &&
                chain[next[p]] == flight[2 * p] ->
        landed[2 * p + 1] = 1; c = flight[2 * p + 1]; acknowledge(c); count(c); c = 0; }
    /* ... before the one that it extends: void. [Kafka] */
    :: d_step { ALIVE(p) && flights[p] > 1 && landed[2 * p + 1] == 0 && length == next[p] ->
        landed[2 * p + 1] = 2 + length; acknowledge(flight[2 * p + 1]); }
#ifdef PROGRESS
        progress_for_a_broker_that_keeps_the_order: skip
#endif
#if WRONG == POSITIONS_IN_GROUP
    /* ... after another one that counted: void, and so acknowledged. [Kafka] */
    :: d_step { ALIVE(p) && flights[p] > 0 && landed[2 * p] == 0 && length > next[p] ->
        landed[2 * p] = 2 + length; acknowledge(flight[2 * p]); }
#endif

    /* [death] */
    :: d_step { ALIVE(p) && crashes < CRASHES -> crashes++; crash(p); }
    /* [restore.c restore_begin] */
    :: d_step { phase[p] == DEAD -> restore(p); }
    /* for ever. [death] */
    :: d_step { phase[p] == DEAD && p == 1 -> phase[p] = GONE; }
    od
}

/* What the dead left on its way lands, late and in any order, or never. */
proctype stragglers()
{
    do
#define STRAGGLER(n) \
    /* [Kafka] */ \
    :: d_step { late_c[n] != NONE && late_d[n] == NONE && late_b[n] == length - 1 -> \
        c = late_c[n]; owned(n); late_c[n] = NONE; late_b[n] = 0; late_of[n] = 0; count(c); c = 0; } \
    /* it is lost. [Kafka] */ \
    :: d_step { late_c[n] != NONE && (late_d[n] != NONE || late_of[n] == 0) -> forget_late(n); }
    STRAGGLER(0)
#if LATE > 1
    STRAGGLER(1)
#endif
#if LATE > 2
    STRAGGLER(2)
#endif
    /* a dead promoter's snapshot. [Kafka] */
    :: d_step { stray == 1 -> snap_hash[stray_key] = stray_hash; snap_st[stray_key] = stray_st; forget_stray(); }
    /* its checkpoint. [Kafka] */
    :: d_step { stray == 2 -> ck_next[stray_key] = stray_next; ck_slot[stray_key] = stray_slot;
        ck_hash[stray_key] = stray_hash; forget_stray(); }
    /* either is lost. [Kafka] */
    :: d_step { stray -> forget_stray(); }
    od
}

/* A Decision about source n was published. */
#define TOLD(n, at) ((at) < length && CAUSE(chain[at]) == (n) && (published & (1 << (at))))
#if CHAIN > 6
#define MORE_TOLD(n) || TOLD(n, 5) || TOLD(n, 6)
#elif CHAIN > 5
#define MORE_TOLD(n) || TOLD(n, 5)
#else
#define MORE_TOLD(n)
#endif
#define REQUESTED(n) (TOLD(n, 1) || TOLD(n, 2) || TOLD(n, 3) || TOLD(n, 4) MORE_TOLD(n) || \
                      (told_b != NONE && CAUSE(told_c) == (n)))

/* Answers the requests that it sees; a request is there only if a Decision was published. */
proctype executor()
{
    do
    /* [any executor] */
    :: d_step { (RUNS & 1) && !answered[0] && REQUESTED(0) -> answered[0] = 1; result[results] = 0; results++; }
    /* [any executor] */
    :: d_step { (RUNS & 2) && !answered[1] && REQUESTED(1) -> answered[1] = 1; result[results] = 1; results++; }
    /* once more: it did not know whether it was written. [any executor] */
    :: d_step { copies < COPIES && results > 0 -> copies++; result[results] = result[0]; results++; }
    od
}

#if OPERATOR
/* gantry topics new-epoch, at any moment. [survey.c survey_judge] */
proctype operator()
{
    short b, genesis;

    d_step { b = length - 1;
        genesis = CONTENT(GENESIS, P0(chain[b]), P1(chain[b]), 1, 0, 1); }
    if
    /* [survey.c survey_genesis] */
    :: d_step { b == length - 1 || WRONG == GENESIS_ANYWAY -> count(genesis); b = 0; genesis = 0; }
    /* void. [Kafka] */
    :: d_step { b != length - 1 && WRONG != GENESIS_ANYWAY -> b = 0; genesis = 0; }
    fi
}
#endif

/* When nothing more can happen: all is decided, by a promoter that lives, and published. */
proctype end()
{
    timeout ->
    d_step {
        assert(state == ((1 << SOURCES) - 1) + 4 * RUNS);
        for (k : 1 .. CHAIN - 1) {
            assert(k >= length || !PUBLISHES(chain[k]) || (published & (1 << k)))
        }
        for (i : 0 .. 1) {
            assert(phase[i] == GONE || phase[i] == RUNNING);
            assert(phase[i] == GONE || (flights[i] == 0 && next[i] == length && pub[i] == length));
            assert(phase[i] == GONE || (base[i] == state && pos0[i] == SOURCES && pos1[i] == results))
        }
    }
}

init
{
    d_step {
        chain[0] = CONTENT(GENESIS, 0, 0, 1, 0, 0); length = 1;
        for (i : 0 .. LATE - 1) { late_c[i] = NONE; late_d[i] = NONE }
        for (i : 0 .. 1) { ck_at[i] = 2; sn_at[i] = 2 }
        i = 0
    }
    atomic {
        run promoter(0); run promoter(1); run stragglers(); run executor();
#if OPERATOR
        run operator();
#endif
        run end()
    }
}
