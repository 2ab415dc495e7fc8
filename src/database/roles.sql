-- Keyturn's four roles and the two schemas they meet in. Roles belong to the whole cluster, so they are not migrations.
-- Run once by the DBA, connected to Keyturn's database as its owner, with the right to create roles; a superuser need not be:
--
--   psql -d keyturn -v ON_ERROR_STOP=1 -f roles.sql
--
-- It may be run again at any time: it creates what is missing and sets what has drifted.
-- It sets no password. Give each login role its own afterwards:  \password keyturn_app

DO $roles$
DECLARE
  role_name text;
BEGIN
  IF NOT (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
    RAISE EXCEPTION '% does not own the database %', current_user, current_database()
      USING HINT = 'Run this as the owner of the database, who may create roles, or as a superuser.';
  END IF;
  FOREACH role_name IN ARRAY ARRAY['keyturn_owner', 'keyturn_migrator', 'keyturn_app', 'keyturn_auditor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
    END IF;
  END LOOP;
END
$roles$;

ALTER ROLE keyturn_owner NOLOGIN NOINHERIT;
ALTER ROLE keyturn_migrator LOGIN NOINHERIT;
ALTER ROLE keyturn_app LOGIN;
ALTER ROLE keyturn_auditor LOGIN;
GRANT keyturn_owner TO keyturn_migrator;

-- Timeouts that hold even where a pooler drops what the client asks for.
ALTER ROLE keyturn_migrator SET lock_timeout = '10s';
ALTER ROLE keyturn_app SET statement_timeout = '2500ms';
ALTER ROLE keyturn_app SET lock_timeout = '2s';
ALTER ROLE keyturn_app SET idle_in_transaction_session_timeout = '5s';
ALTER ROLE keyturn_auditor SET default_transaction_read_only = on;
ALTER ROLE keyturn_auditor SET statement_timeout = '60s';

COMMENT ON ROLE keyturn_owner IS 'Owns Keyturn''s schemas. Nobody logs in as it.';
COMMENT ON ROLE keyturn_migrator IS 'Runs Keyturn''s migrations by becoming keyturn_owner.';
COMMENT ON ROLE keyturn_app IS 'The Keyturn server: named columns only; may not delete or truncate keys or history.';
COMMENT ON ROLE keyturn_auditor IS 'Reads the views and functions of schema audit, and nothing else.';

DO $database$
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO keyturn_migrator, keyturn_app, keyturn_auditor', current_database());
END
$database$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Who gives a schema to keyturn_owner must be able to become it. A superuser is; whoever else runs this is for this block only.
DO $schemas$
DECLARE
  schema_name text;
  becomes_owner boolean;
BEGIN
  -- From PostgreSQL 16 on, who made a role is a member of it, and may not become it for all that.
  EXECUTE format('SELECT pg_has_role(%L, %L)', 'keyturn_owner',
    CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) INTO becomes_owner;
  IF NOT becomes_owner THEN
    GRANT keyturn_owner TO CURRENT_USER;
  END IF;
  FOREACH schema_name IN ARRAY ARRAY['keyturn', 'audit'] LOOP
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = schema_name) THEN
      EXECUTE format('CREATE SCHEMA %I', schema_name);
    END IF;
    EXECUTE format('ALTER SCHEMA %I OWNER TO keyturn_owner', schema_name);
  END LOOP;
  IF NOT becomes_owner THEN
    REVOKE keyturn_owner FROM CURRENT_USER;
  END IF;
END
$schemas$;
