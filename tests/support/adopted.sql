-- What the main app writes beside a user or a link is there for those that a test writes by itself.
-- The service has to write it: of its rows nothing is mended.

create function give_auth_row() returns trigger language plpgsql as $$
begin
    insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
        confirmation_token, recovery_token, email_change_token_new, email_change, raw_app_meta_data,
        raw_user_meta_data, created_at, updated_at)
    select '00000000-0000-0000-0000-000000000000'::uuid, new.id, 'authenticated', 'authenticated',
        -- one address may be that of two users, and of one auth row
        case when not exists (select from auth.users where email = lower(new.email collate "C"))
            then lower(new.email collate "C") end,
        '', now(), '', '', '', '', '{"provider": "email", "providers": ["email"]}', '{}', now(), now()
    on conflict (id) do nothing;
    return new;
end $$;
create trigger give_auth_row before insert on users for each row
    when (current_setting('application_name') = 'tests') execute function give_auth_row();

create function give_organization() returns trigger language plpgsql as $$
begin
    new.organization_id := coalesce(new.organization_id, (select id from organizations where slug = 'optio'));
    return new;
end $$;
create trigger give_organization before insert on lms_integrations for each row
    when (current_setting('application_name') = 'tests') execute function give_organization();
