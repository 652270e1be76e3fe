//! Keys of connectors that MirrorMaker does not have.

use crate::config::key::{
    Default::{Null, Value},
    Importance::Medium,
    Key,
    Kind::{Boolean, Long, String},
    Valid,
};

/// Policies for gaps: what the source has lost can't be copied again.
const FAIL_OR_CONTINUE: &[&str] = &["fail", "continue"];
const FAIL_CONTINUE_OR_RECOPY: &[&str] = &["fail", "continue", "recopy"];

/// Keys of a MirrorSourceConnector.
pub const KMIRROR_SOURCE_KEYS: &[Key] = &[
    Key::new(
        super::MAX_BYTES_PER_SECOND,
        Long,
        Value("0"),
        "Bytes per second, as the brokers store them (compressed), that the connector's tasks on a worker fetch \
         together; 0 for no cap. A change holds at once and restarts no task. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::AtLeast(0)),
    Key::new(
        "kmirror.compression",
        String,
        Value("keep"),
        "Compression of batches on the target: keep, which is the source's, or configured, which is what compression.type \
         and compression.gzip.level or compression.zstd.level under producer.override. say, and is applied to every \
         batch, at the price of writing it anew. MirrorMaker has no such key and does the latter.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(&["keep", "configured"])),
    Key::new(
        "kmirror.join.small.batches",
        Boolean,
        Value("true"),
        "Whether uncompressed batches of at most 4 kB become larger ones where many of them wait to be copied: several \
         times faster, for the brokers above all. With false they stay as the source holds them. MirrorMaker has no such \
         key and makes batches of its own.",
    ),
    Key::new(
        "kmirror.offset.map.enabled",
        Boolean,
        Value("true"),
        "Whether it is stored, in topic mm2-offset-map.<source alias>.internal of the target, how far each partition's copy is and \
         where its records stand there. With false a copy that was interrupted goes on at its stored position, so that records are \
         copied twice after a crash, as MirrorMaker, which has no such key, copies them.",
    ),
    Key::new(
        "kmirror.offset.map.backfill.offsets",
        Long,
        Value("20000"),
        "How far back, in offsets of each source partition, what MirrorMaker has copied is compared with its source once kmirror \
         has taken the copy over, so that groups that are no further behind go on exactly where they were. These records are read \
         once at both ends, beside the copy. 0 compares nothing: then offset syncs tell of them, which is not exact. MirrorMaker has \
         no such key.",
    )
    .valid(Valid::AtLeast(0)),
    Key::new(
        "kmirror.poison.policy",
        String,
        Value("fail"),
        "What a record that the target can't take does: fail stops its partition, park sends it to kmirror.poison.topic, \
         skip leaves it out. Unless this is set, errors.tolerance=all means skip. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(&["fail", "park", "skip"])),
    Key::new(
        "kmirror.poison.topic",
        String,
        Null,
        "Topic on the target for records that kmirror.poison.policy=park takes out of the copy; kmirror.poison. and the \
         source's alias unless set. MirrorMaker has no such key.",
    )
    .importance(Medium),
    Key::new(
        "kmirror.data.loss.policy",
        String,
        Value("fail"),
        "What a partition does when the source has removed records before they were copied: fail stops it, continue goes on \
         with the first record that is there, so that the target never gets those between. MirrorMaker has no such key and \
         goes by auto.offset.reset, which means first starts only here.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.topic.recreated.policy",
        String,
        Value("fail"),
        "What a partition does when the source's topic was deleted and made again: fail stops it, continue copies the new \
         topic from its beginning, behind what the target has of the old one. What the old one held that was not copied \
         is lost. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.source.diverged.policy",
        String,
        Value("fail"),
        "What a partition does when the source has lost records that were copied, as by an unclean election: fail stops it, \
         continue goes on where the source's log parted from what was copied. The target keeps the records that the \
         source has lost, in front of those that took their place. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.position.beyond.source.policy",
        String,
        Value("fail"),
        "What a partition does when its position, as set from outside, lies behind the end of the source's log: fail stops \
         it, continue copies what is produced from now on, so that what the source has is left out, recopy copies from the \
         source's log start, so that what was copied before is there twice. MirrorMaker has no such key.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_CONTINUE_OR_RECOPY)),
    Key::new(
        "kmirror.target.recreated.policy",
        String,
        Value("fail"),
        "What a partition does when the target's topic was deleted and made again: fail stops it, continue goes on with the \
         next record, so that the new topic lacks all that was copied before, recopy copies all that the source has, from \
         its log start. MirrorMaker has no such key and does what continue does.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_CONTINUE_OR_RECOPY)),
    Key::new(
        "kmirror.target.regressed.policy",
        String,
        Value("fail"),
        "What a partition does when the target has lost records that it had acknowledged, as by an unclean election: fail \
         stops it, continue goes on, so that the lost records stay lost, recopy copies again from the first that was lost, \
         so that what the target still has of those behind it is there twice. MirrorMaker has no such key and does what \
         continue does.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_CONTINUE_OR_RECOPY)),
    Key::new(
        "kmirror.anchor.lost.policy",
        String,
        Value("fail"),
        "What a partition does when nobody knows how much of it the target has: fail stops it, continue goes on at the \
         stored position, so that what was written since that was stored is there twice. MirrorMaker has no such key and \
         does the latter.",
    )
    .importance(Medium)
    .valid(Valid::OneOf(FAIL_OR_CONTINUE)),
    Key::new(
        "kmirror.topic.deletion",
        String,
        Value("never"),
        "When a topic that kmirror made is deleted on the target after its source topic was deleted: never, or the time in ms \
         for which the source topic has to be gone, which is looked at with each refresh.topics.interval.seconds. Topics \
         that were there before, or that somebody has made again since, are left. MirrorMaker has no such key and never \
         deletes one.",
    )
    .importance(Medium)
    .valid(Valid::WordOrAtLeast("never", 0)),
    Key::new(
        "kmirror.acls.prefixed",
        Boolean,
        Value("false"),
        "Whether ACLs for prefixes of topic names are copied too, where the prefix has a remote name. MirrorMaker has no such \
         key and copies those for whole names only.",
    ),
    Key::new(
        "kmirror.acls.write",
        Boolean,
        Value("false"),
        "Whether the right to write is copied too, alone and as a part of all rights, so that producers may move to the \
         target. MirrorMaker has no such key and copies the right to read.",
    ),
    Key::new(
        "kmirror.acls.groups",
        Boolean,
        Value("false"),
        "Whether ACLs of consumer groups are copied too. MirrorMaker has no such key and copies those of topics.",
    ),
    Key::new(
        "kmirror.acls.transactional.ids",
        Boolean,
        Value("false"),
        "Whether ACLs of transactional ids are copied too. MirrorMaker has no such key and copies those of topics.",
    ),
    Key::new(
        "kmirror.acls.remove",
        Boolean,
        Value("false"),
        "Whether an ACL that kmirror added to the target is removed when the source has it no more. Only those count that it has \
         added since this is true, which stands in mm2-offset-map.<source alias>.internal; with kmirror.offset.map.enabled=false, \
         since the connector started. MirrorMaker has no such key and removes none.",
    ),
    Key::new(
        "kmirror.acls.principal.mapping.rules",
        String,
        Value("DEFAULT"),
        "Which name a principal of the source has on the target, without its type such as User: rules in the syntax of \
         ssl.principal.mapping.rules, of which the first that matches holds: RULE:pattern/replacement/, with L or U behind it \
         for lower or upper case, or DEFAULT, which keeps the name. The ACLs of principals that no rule matches are not copied. \
         MirrorMaker has no such key and keeps all names.",
    ),
];

/// Keys of a MirrorCheckpointConnector.
pub const KMIRROR_CHECKPOINT_KEYS: &[Key] = &[Key::new(
    "kmirror.group.sync.rewind",
    Boolean,
    Value("false"),
    "Whether a group's offset on the target is lowered when the group went back on the source. MirrorMaker has no such key and \
     lowers none.",
)
.importance(Medium)];
