WITH document AS
(INSERT INTO user_task_evidence_documents (user_id, quest_id, task_id, status, completed_at) VALUES (:user_id::UUID, :quest_id::UUID, :task_id::UUID, :param_1::VARCHAR, :now::TIMESTAMP WITH TIME ZONE) ON CONFLICT (user_id, task_id) DO UPDATE SET status = excluded.status, updated_at = greatest(excluded.updated_at, user_task_evidence_documents.updated_at + :updated_at_1), completed_at = excluded.completed_at RETURNING user_task_evidence_documents.id),
blocks AS
(INSERT INTO evidence_document_blocks (document_id, id, block_type, content, order_index, is_private, uploaded_by_user_id, uploaded_by_role) SELECT document.id AS id, block.id AS id_1, block.block_type AS block_type, block.content AS content, block.order_index AS order_index, block.is_private AS is_private, block.uploaded_by_user_id AS uploaded_by_user_id, block.uploaded_by_role AS uploaded_by_role
FROM jsonb_to_recordset(:blocks::JSONB) AS block(id UUID, block_type TEXT, content JSONB, order_index INTEGER, is_private BOOLEAN, uploaded_by_user_id UUID, uploaded_by_role evidence_uploader_role) JOIN document ON true),
native AS
(INSERT INTO evidence_document_blocks (document_id, block_type, content, order_index, is_private, uploaded_by_user_id, uploaded_by_role) SELECT document.id AS id, :param_2::VARCHAR AS anon_1, jsonb_build_object(:jsonb_build_object_2::VARCHAR, quest_task_completions.evidence_text) AS jsonb_build_object_1, jsonb_array_length(:blocks::JSONB) + :jsonb_array_length_1::INTEGER AS anon_2, quest_task_completions.is_confidential AS is_confidential, quest_task_completions.user_id AS user_id, CAST(:param_3::VARCHAR AS evidence_uploader_role) AS anon_3
FROM document JOIN quest_task_completions ON true
WHERE quest_task_completions.user_id = :user_id::UUID AND quest_task_completions.task_id = :task_id::UUID AND quest_task_completions.evidence_text ~ :evidence_text_1::VARCHAR AND (quest_task_completions.evidence_text NOT LIKE :evidence_text_2::VARCHAR || '%') AND NOT (EXISTS (SELECT user_task_evidence_documents.id
FROM user_task_evidence_documents
WHERE user_task_evidence_documents.user_id = :user_id::UUID AND user_task_evidence_documents.task_id = :task_id::UUID)) UNION ALL SELECT document.id AS id, :param_4::VARCHAR AS anon_4, jsonb_build_object(:jsonb_build_object_4::VARCHAR, quest_task_completions.evidence_url, :jsonb_build_object_5::VARCHAR, quest_task_completions.evidence_url) AS jsonb_build_object_3, jsonb_array_length(:blocks::JSONB) + :jsonb_array_length_2::INTEGER AS anon_5, quest_task_completions.is_confidential AS is_confidential, quest_task_completions.user_id AS user_id, CAST(:param_5::VARCHAR AS evidence_uploader_role) AS anon_6
FROM document JOIN quest_task_completions ON true
WHERE quest_task_completions.user_id = :user_id::UUID AND quest_task_completions.task_id = :task_id::UUID AND quest_task_completions.evidence_url ~ :evidence_url_1::VARCHAR AND NOT (EXISTS (SELECT user_task_evidence_documents.id
FROM user_task_evidence_documents
WHERE user_task_evidence_documents.user_id = :user_id::UUID AND user_task_evidence_documents.task_id = :task_id::UUID))),
completion AS
(INSERT INTO quest_task_completions (id, user_id, quest_id, task_id, user_quest_task_id, evidence_text, completed_at) SELECT :completion_id::UUID AS anon_12, :user_id::UUID AS anon_13, :quest_id::UUID AS anon_14, :task_id::UUID AS anon_15, :task_id::UUID AS anon__1, coalesce(:raw_text::VARCHAR, concat(:concat_1::VARCHAR, document.id, :concat_2::VARCHAR)) AS coalesce_3, :submitted_at::TIMESTAMP WITH TIME ZONE AS anon_16
FROM document ON CONFLICT (user_id, task_id) DO UPDATE SET evidence_text = CASE WHEN :is_latest THEN excluded.evidence_text ELSE quest_task_completions.evidence_text END, updated_at = :now::TIMESTAMP WITH TIME ZONE RETURNING quest_task_completions.id, xmax = 0 AS is_new),
paid AS
(INSERT INTO spark.xp_ledger (id, user_id, task_id, completion_id, pillar, xp_amount) SELECT :award_id::UUID AS anon_7, :user_id::UUID AS anon_8, :task_id::UUID AS anon_9, completion.id AS id, :pillar::VARCHAR AS anon_10, :xp_value::INTEGER AS anon_11
FROM completion
WHERE completion.is_new ON CONFLICT DO NOTHING RETURNING spark.xp_ledger.user_id, spark.xp_ledger.pillar, spark.xp_ledger.xp_amount),
by_pillar AS
(INSERT INTO user_skill_xp (user_id, pillar, xp_amount) SELECT paid.user_id AS user_id, paid.pillar AS pillar, paid.xp_amount AS xp_amount
FROM paid ON CONFLICT (user_id, pillar) DO UPDATE SET xp_amount = (user_skill_xp.xp_amount + excluded.xp_amount), updated_at = :now::TIMESTAMP WITH TIME ZONE RETURNING user_skill_xp.user_id, user_skill_xp.pillar, user_skill_xp.xp_amount),
in_all AS
(UPDATE users SET total_xp=(by_pillar.xp_amount + (SELECT coalesce(sum(user_skill_xp.xp_amount), :coalesce_2::INTEGER) AS coalesce_1
FROM user_skill_xp
WHERE user_skill_xp.user_id = by_pillar.user_id AND user_skill_xp.pillar != by_pillar.pillar)) FROM by_pillar WHERE users.id = by_pillar.user_id),
by_subject AS
(INSERT INTO user_subject_xp (user_id, school_subject, xp_amount) SELECT paid.user_id AS user_id, CAST(subjects.subject AS school_subject) AS subject, subjects.amount AS amount
FROM paid JOIN unnest(:subjects::TEXT[], :subject_xp::INTEGER[]) AS subjects(subject, amount) ON true ON CONFLICT (user_id, school_subject) DO UPDATE SET xp_amount = (user_subject_xp.xp_amount + excluded.xp_amount), updated_at = :now::TIMESTAMP WITH TIME ZONE),
revision AS
(INSERT INTO spark.submission_revisions (id, completion_id, user_id, quest_id, replaced_at, revision, spark_assignment_id, spark_course_id, submission_text, grade, fingerprint, submitted_at, restored_from, written_ids, block_ids) SELECT :revision_id::UUID AS anon_17, completion.id AS id, :user_id::UUID AS anon_18, :quest_id::UUID AS anon_19, CASE WHEN :is_latest THEN NULL ELSE :now::TIMESTAMP WITH TIME ZONE END AS anon_20, (SELECT coalesce(max(spark.submission_revisions.revision), :coalesce_6::INTEGER) + :coalesce_7::INTEGER AS anon_22
FROM spark.submission_revisions
WHERE spark.submission_revisions.completion_id = completion.id) AS anon_21, :spark_assignment_id::VARCHAR AS anon_23, :spark_course_id::VARCHAR AS anon_24, :submission_text::VARCHAR AS anon_25, :grade AS anon_26, :fingerprint AS anon_27, :submitted_at::TIMESTAMP WITH TIME ZONE AS anon_28, :restored_from::UUID AS anon_29, :written_ids::UUID[] AS anon_30, :block_ids::UUID[] AS anon_31
FROM completion RETURNING spark.submission_revisions.revision)
 SELECT completion.id, revision.revision, coalesce((SELECT paid.xp_amount
FROM paid), :coalesce_5::INTEGER) AS coalesce_4
FROM completion JOIN revision ON true
