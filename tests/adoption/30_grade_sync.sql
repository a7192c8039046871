-- The main app's queue of scores for an LMS, from the contract page (not compared with a dump), the
-- same in both shapes. Nothing is unique but `id`; what has a default may be null. Run last, as
-- `optio_owner`: Ann of 20_rows.sql, where she is, has scores for Canvas.

create table lms_grade_sync (
    id uuid not null default extensions.uuid_generate_v4(),
    user_id uuid not null,
    quest_id uuid not null,
    lms_platform varchar(50),
    lms_assignment_id varchar(255) not null,
    score numeric(5,2) not null,
    max_score numeric(5,2) default 100,
    sync_status varchar(20) default 'pending',
    sync_attempts integer default 0,
    error_message text,
    synced_at timestamptz,
    last_attempt_at timestamptz,
    created_at timestamptz default now(),
    constraint lms_grade_sync_pkey primary key (id),
    constraint lms_grade_sync_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint lms_grade_sync_quest_id_fkey foreign key (quest_id) references quests (id) on delete cascade,
    constraint lms_grade_sync_valid_platform check (lms_platform in
        ('canvas', 'google_classroom', 'schoology', 'moodle', 'spark')),
    constraint lms_grade_sync_valid_status check (sync_status in ('pending', 'completed', 'failed')),
    constraint lms_grade_sync_valid_score check (score >= 0 and score <= max_score)
);
alter table lms_grade_sync enable row level security;

insert into lms_grade_sync (user_id, quest_id, lms_platform, lms_assignment_id, score, sync_status, sync_attempts)
select users.id, quests.id, 'canvas', 'essay_1', 80, state, attempts
from users, quests, (values ('completed', 1), ('pending', null)) as known (state, attempts)
where users.id = 'a0000000-0000-4000-8000-000000000003' and quests.lms_assignment_id = 'essay_1';
