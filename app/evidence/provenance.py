"""Whose a block is: Spark's while it says what Spark handed in, else the student's.

As plain SQL over `evidence_document_blocks` and `spark.submission_revisions`, joined by whoever
asks. Spark's are those that the revision remembers by their ids, if nobody has changed what they
say. The main app's editor writes all blocks anew, under new ids: when none that is remembered is
there any more, the content alone tells.
"""

from sqlalchemy import Boolean, Text, literal_column

# Under which key a file of ours lies, whatever the form of the pointer to it. A path into JSON is
# null where there is something else; a length would be an error.
BLOCK_KEY_SQL = """substring(
    coalesce(evidence_document_blocks.content ->> 'url',
      case when evidence_document_blocks.content #> '{items,1}' is null
      then evidence_document_blocks.content #>> '{items,0,url}' end)
    from '[^/]+/[^/]+$')"""
IS_BY_SPARK_SQL = f"""(
  coalesce(evidence_document_blocks.uploaded_by_role::text, 'student') = 'student'
  and case evidence_document_blocks.block_type when 'text'
    then evidence_document_blocks.content ->> 'text' = submission_revisions.submission_text
    else exists (
      select from spark.uploads
      where uploads.submission_id
          = coalesce(submission_revisions.restored_from, submission_revisions.id)
        and uploads.object_key = {BLOCK_KEY_SQL}) end
  and (evidence_document_blocks.id = any (submission_revisions.block_ids)
    or cardinality(submission_revisions.block_ids) > 0 and not exists (
      select from evidence_document_blocks remembered
      where remembered.document_id = evidence_document_blocks.document_id
        and remembered.id = any (submission_revisions.block_ids)))
) is true"""  # noqa: S608 - our own words

# Pieces of a statement that replaces revisions: `block`, whose columns these are, has the blocks of
# their documents, and `stale` the revisions. Of what one wrote, less is shown if the student hid
# something; what they changed is shown.
BLOCK_STATE_SQL = f"""evidence_document_blocks.id, evidence_document_blocks.order_index,
        {IS_BY_SPARK_SQL} as is_by_spark,
        evidence_document_blocks.id = any (submission_revisions.written_ids) as is_written,
        coalesce(nullif(content ->> 'text', ''), {BLOCK_KEY_SQL}, content ->> 'url') is not null
          and not is_private as is_shown"""
REMOVED_SQL = """
    removed as (
      delete from evidence_document_blocks where id in (select id from block where is_by_spark))"""
REPLACED_SQL = """
    replaced as (
      update spark.submission_revisions r
      set replaced_at = :now, was_hidden = cardinality(r.written_ids)
        > (select count(*) from block where is_shown and (is_written or is_by_spark))
      from stale where r.id = stale.id
      returning r.was_hidden)"""

BLOCK_KEY = literal_column(BLOCK_KEY_SQL, Text)
IS_BY_SPARK = literal_column(IS_BY_SPARK_SQL, Boolean)
