-- The role of this service in the database of the Optio application, with the rights that it needs
-- and no others. Run it after `python -m app adopt --apply` and again after an upgrade, as the role
-- that adopted and migrates (on the hosted platform `postgres`), in session mode:
--
--   psql "$OWNER_URL" -v ON_ERROR_STOP=1 -1 -f docs/deploy/spark_service.sql
--   psql "$OWNER_URL" -c '\password spark_service'
--
-- It is plain SQL, so that an SQL editor runs it as well (all of it at once), and it may be repeated.
-- BYPASSRLS is no convenience: row security is on in all tables, and without it rows that are there
-- are silently missing. The last block says by name what could not be given.

do $$
begin
    if not exists (select from pg_roles where rolname = 'spark_service') then
        create role spark_service login bypassrls;
    elsif not (select rolbypassrls from pg_roles where rolname = 'spark_service') then
        alter role spark_service bypassrls;
    end if;
end $$;

-- The main app's tables: 13 that are read and written, …
grant usage on schema public to spark_service;
grant select, insert, update, delete on
    public.users, public.lms_integrations, public.quests, public.course_quest_tasks,
    public.user_quests, public.user_quest_tasks, public.quest_task_completions,
    public.user_skill_xp, public.user_subject_xp, public.user_task_evidence_documents,
    public.evidence_document_blocks, public.user_activity_events, public.lms_grade_sync
    to spark_service;
-- … two that triggers on these write, with the rights of whoever writes there, of which erasing a
-- student empties the first, as another that some databases have, …
grant select, insert, update on public.diplomas, public.user_mastery to spark_service;
grant delete on public.diplomas to spark_service;
do $$
begin
    if to_regclass('public.user_skill_details') is not null then
        grant select, delete on public.user_skill_details to spark_service;
    end if;
end $$;
-- … and those that are only read. Before organisations there are none of them.
do $$
declare name text;
begin
    foreach name in array array['organizations', 'quest_sample_tasks', 'quest_template_tasks'] loop
        if to_regclass('public.' || name) is not null then
            execute format('grant select on public.%I to spark_service', name);
        end if;
    end loop;
end $$;

-- Ours. GoTrue's users are behind two functions there: nobody can be let into schema `auth`.
grant usage on schema spark to spark_service;
grant select, insert, update, delete on all tables in schema spark to spark_service;
grant usage on all sequences in schema spark to spark_service;
grant execute on all functions in schema spark to spark_service;
-- What later migrations make there, as the role that runs this.
alter default privileges in schema spark
    grant select, insert, update, delete on tables to spark_service;
alter default privileges in schema spark grant usage on sequences to spark_service;
alter default privileges in schema spark grant execute on functions to spark_service;

-- PostgreSQL only warns where whoever grants may not.
do $$
declare missing text;
begin
    select string_agg(format('%s on %s', wanted.privilege, c.oid::regclass), ', ') into missing
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join unnest(case
        when c.relname = 'user_mastery' then array['select', 'insert', 'update']
        when c.relname = 'user_skill_details' then array['select', 'delete']
        when c.relname in ('organizations', 'quest_sample_tasks', 'quest_template_tasks')
            then array['select']
        else array['select', 'insert', 'update', 'delete'] end) as wanted (privilege)
    where c.relkind in ('r', 'p')
        and (n.nspname = 'spark' or n.nspname = 'public' and c.relname in (
            'users', 'lms_integrations', 'quests', 'course_quest_tasks', 'user_quests',
            'user_quest_tasks', 'quest_task_completions', 'user_skill_xp', 'user_subject_xp',
            'user_task_evidence_documents', 'evidence_document_blocks', 'user_activity_events',
            'lms_grade_sync', 'diplomas', 'user_mastery', 'user_skill_details', 'organizations',
            'quest_sample_tasks', 'quest_template_tasks'))
        and not has_table_privilege('spark_service', c.oid, wanted.privilege);
    if missing is not null then
        raise exception 'spark_service may still not: %', missing
            using hint = 'Run this as the owner of these tables.';
    end if;
end $$;
