"""A student has completed a task: the one row that says so."""

# A piece of a statement that has `document`: the completion of `:user_id` and `:task_id`, made with
# `:completion_id` if there is none. One that is there keeps its time, and its evidence_text unless
# `:is_latest`. Returns its id, and whether it `is_new`: nobody updated the row.
COMPLETION_SQL = """
    completion as (
      insert into quest_task_completions
        (id, user_id, quest_id, task_id, user_quest_task_id, evidence_text, completed_at)
      select :completion_id::uuid, :user_id::uuid, :quest_id::uuid, :task_id::uuid, :task_id,
        coalesce(:raw_text::text, {evidence_text}),
        :completed_at::timestamptz
      from document
      on conflict (user_id, task_id) do update set
        evidence_text = case when :is_latest::boolean
          then excluded.evidence_text else quest_task_completions.evidence_text end,
        updated_at = :now::timestamptz
      returning id, xmax = 0 as is_new)
"""
