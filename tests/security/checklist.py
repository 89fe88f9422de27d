"""The security checklist (``reliability.md``, section 4): each line that applies now, and the tests that prove it.

A test is named as ``FILE::FUNCTION`` below ``tests/``. Lines of which a part waits for a protocol that is
not built yet stand in :data:`LATER` as well; who builds it adds the tests here.
"""

from __future__ import annotations

from typing import Final

_CORPUS = "security/test_corpus.py::test_a_hostile_client_is_answered_as_documented_and_nobody_else_notices"
_HEAD = "transports/test_head.py::test_a_head_that_two_parsers_could_read_differently_is_refused"

_MATRIX = "security/test_matrix.py::test_each_door_lets_in_whom_the_contract_names_and_nobody_else"
_RESOURCES = "security/test_resources.py::test_each_way_to_a_thing_lets_in_whom_the_contract_names_and_nobody_else"
_COSTLY = "security/test_graphql.py::test_a_costly_document_is_refused_at_every_door_within_50_ms"

CHECKLIST: Final[dict[int, list[str]]] = {
    1: [
        _CORPUS,
        "security/test_corpus.py::test_the_corpus_is_large_enough_and_each_case_is_one_of_its_own",
        "security/test_mutations.py::test_a_hundred_thousand_mutated_inputs_change_nothing",
    ],
    2: [_CORPUS, "transports/test_websocket.py::test_a_frame_in_the_handshakes_own_segment_works"],
    3: [_CORPUS, _HEAD, "transports/test_head.py::test_a_malformed_request_line_is_refused"],
    4: [
        _CORPUS,
        _HEAD,
        "transports/test_listener.py::test_a_hostile_head_is_400_and_the_connection_is_over",
        "transports/test_listener.py::test_junk_in_chunks_is_400_and_the_connection_is_over",
    ],
    5: [
        "security/test_requests.py::test_a_page_reads_and_connects_only_from_an_origin_on_the_list",
        "auth/test_origins.py::test_a_page_that_only_looks_like_an_allowed_one_is_refused",
        "transports/test_listener.py::test_a_page_may_connect_from_our_own_and_listed_origins",
        "security/test_requests.py::test_a_page_reads_a_stream_of_events_only_from_an_origin_on_the_list",
        "security/test_requests.py::test_a_page_speaks_socketio_only_from_an_origin_on_the_list",
        "security/test_requests.py::test_a_page_speaks_graphql_only_from_an_origin_on_the_list",
        "endpoints/test_logins.py::test_no_page_of_another_origin_or_port_changes_anything_with_the_cookie",
        "security/test_strangers.py::test_with_dev_a_strangers_page_has_no_use_for_the_operators_key",
    ],
    6: [
        "auth/test_origins.py::test_cors_never_allows_credentials_and_never_reflects_what_is_not_listed",
        "endpoints/test_logins.py::test_what_a_page_of_another_origin_reads_with_the_cookie_it_may_not_see",
        "transports/test_http.py::test_a_preflight_names_who_may",
    ],
    7: [
        "security/test_requests.py::test_with_a_public_url_a_request_for_another_host_is_421_whoever_asks_for_whatever",
        "security/test_requests.py::test_with_a_public_url_a_request_without_a_host_is_421",
        "security/test_requests.py::test_with_a_public_url_a_unix_socket_takes_any_host",
        "security/test_requests.py::test_a_page_behind_a_rebound_name_gets_nothing_without_a_credential",
        "security/test_strangers.py::test_with_dev_a_page_that_points_its_own_name_here_is_421",
    ],
    8: [
        "transports/test_websocket.py::test_neither_compression_nor_a_subprotocol_is_negotiated",
        "endpoints/test_graphqlsockets.py::test_who_speaks_another_protocol_is_told_by_4406",
        _CORPUS,  # a subprotocol that the route does not name is not echoed
        "security/test_requests.py::test_eight_kilobytes_of_junk_in_a_handshake_take_less_than_5_ms",
    ],
    9: [
        "transports/test_head.py::test_a_key_that_is_not_16_bytes_is_refused",
        "transports/test_head.py::test_a_handshake_is_a_get_of_http_1_1_without_a_body",
    ],
    10: [
        "transports/test_listener.py::test_a_head_over_16_kib_is_431",
        "transports/test_listener.py::test_more_than_100_fields_are_431",
    ],
    11: [
        "transports/test_listener.py::test_a_head_that_dribbles_has_10_seconds_in_all",
        "transports/test_http.py::test_a_body_that_dribbles_has_15_seconds_in_all",
        "transports/test_uploads.py::test_who_says_nothing_for_too_long_is_408",
        "transports/test_sockets.py::test_a_tls_handshake_that_never_ends_is_closed_and_others_are_served",
    ],
    12: ["transports/test_websocket.py::test_neither_compression_nor_a_subprotocol_is_negotiated"],
    13: [
        _CORPUS,
        "security/test_requests.py::test_a_wrong_type_in_any_field_is_400_in_a_few_words_and_repeats_nothing",
        "transports/test_firewall.py::test_one_connection_ends_and_no_other_notices",
    ],
    14: [
        "transports/test_proxies.py::test_the_client_is_the_right_most_address_that_is_no_proxy_of_ours",
        "transports/test_sockets.py::test_a_spoofed_address_resets_no_limit",
        "security/test_requests.py::test_a_flood_of_anonymous_views_is_429_and_a_made_up_address_resets_nothing",
    ],
    15: [
        "transports/test_websocket.py::test_a_message_over_the_limit_is_closed_with_1009_before_it_is_whole",
        "transports/test_websocket.py::test_a_giant_length_allocates_nothing_and_waits_for_its_bytes",
    ],
    16: [
        "transports/test_websocket.py::test_more_than_1024_fragments_of_one_message_are_closed",
        "transports/test_websocket.py::test_one_frame_in_single_bytes_is_closed_before_it_fills_the_memory",
        "security/test_floods.py::test_after_a_short_flood_latency_and_memory_are_what_they_were",
        "security/test_bodies.py::test_bodies_that_arrive_at_one_time_are_bounded_together",
    ],
    17: [
        "transports/test_websocket.py::test_a_flood_of_pings_is_answered_and_disturbs_nobody",
        "security/test_floods.py::test_after_a_flood_of_any_kind_latency_and_memory_are_what_they_were",
    ],
    18: [
        "security/test_requests.py::test_what_is_no_json_is_400_over_every_door",
        "security/test_requests.py::test_a_streams_messages_are_json_or_refused_however_they_come",
        "security/test_requests.py::test_of_two_equal_names_the_last_counts",
    ],
    19: [
        "security/test_requests.py::test_a_lone_surrogate_is_refused_in_every_text_of_every_body",
        "security/test_requests.py::test_a_surrogate_is_refused_in_every_path_and_query",
    ],
    20: [
        "security/test_requests.py::test_a_channels_name_is_data_and_nothing_else",
        "security/test_requests.py::test_what_is_no_name_of_a_channel_is_refused",
    ],
    21: ["auth/test_throttle.py::test_tuples_that_would_join_to_the_same_text_are_two_keys"],
    22: [
        "security/test_requests.py::test_a_flood_of_publishes_is_429_and_the_rest_goes_on_later",
        "security/test_requests.py::test_who_connects_and_leaves_over_and_over_leaves_nothing_behind",
        "endpoints/test_sessions.py::test_messages_faster_than_the_command_rate_are_closed_with_1008",
        "endpoints/test_dialogue.py::test_one_command_too_many_is_refused_and_the_next_is_run_in_time",
        "endpoints/test_dialogue.py::test_who_goes_on_and_on_above_the_rate_is_closed_with_1008",
        "endpoints/test_subscriptions.py::test_subscribing_and_unsubscribing_over_and_over_leaves_nothing_behind",
        "endpoints/test_subscriptions.py::test_ten_thousand_subscribes_without_unsubscribing_hold_128_channels",
    ],
    23: [
        "security/test_requests.py::test_a_wrong_type_in_any_field_is_400_in_a_few_words_and_repeats_nothing",
        "security/test_requests.py::test_a_megabyte_of_nonsense_is_not_sent_back",
        "endpoints/test_dialogue.py::test_what_is_no_command_is_an_error_that_repeats_nothing_of_it",
        "endpoints/test_dialogue.py::test_an_unknown_command_is_told_which_there_are",
        "security/test_fuzz.py::test_any_message_is_a_command_or_refused_in_a_few_words",
    ],
    24: ["transports/test_firewall.py::test_one_connection_ends_and_no_other_notices"],
    25: [
        "security/test_secrets.py::test_no_clear_secret_is_in_the_file_its_log_a_backup_or_any_answer_of_a_running_server",
        "auth/test_keyring.py::test_a_new_key_has_its_kinds_prefix_and_256_random_bits",
        "security/test_process.py::test_secrets_are_compared_in_constant_time_or_by_their_digests",
    ],
    26: [
        "auth/test_gate.py::test_unknown_wrong_expired_and_revoked_credentials_look_the_same",
        "auth/test_gate.py::test_unknown_and_wrong_keys_take_the_same_time",
    ],
    27: [
        "endpoints/test_history.py::test_a_poll_that_waits_is_refused_at_once_when_its_key_is_revoked_and_no_other_is",
        "security/test_secrets.py::test_a_revoked_key_ends_its_live_connections_and_new_ones_within_2_seconds",
        "endpoints/test_sessions.py::test_a_token_ends_its_connection_with_1008_at_its_expiry_and_the_leeway",
        "endpoints/test_dialogue.py::test_a_token_that_expires_is_told_before_and_its_connection_ends_with_4401",
        "endpoints/test_dialogue.py::test_a_revoked_key_is_told_and_closed_with_4401",
        "endpoints/test_dialogue.py::test_what_a_fresh_token_does_not_cover_ends_with_a_notice",
        "endpoints/test_sse.py::test_who_loses_its_key_is_told_and_does_not_come_back",
        "endpoints/test_streamsockets.py::test_a_credential_that_ends_is_an_error_event_and_a_disconnect",
        "endpoints/test_streams.py::test_a_revoked_key_stops_a_program_that_streams",
        "transports/test_uploads.py::test_a_token_that_expires_takes_no_more_lines",
        "endpoints/test_sse.py::test_a_token_that_expires_ends_its_stream_and_opens_no_other",
        "endpoints/test_graphqlsockets.py::test_a_connection_ends_with_4403_when_its_token_expires",
        "endpoints/test_graphqlsockets.py::test_a_connection_ends_with_4403_when_its_key_is_revoked",
        "clients/test_graphql_clients.py::test_a_key_that_is_revoked_while_connected_closes_with_4403",
    ],
    28: [
        "endpoints/test_sessions.py::test_a_missing_or_wrong_credential_is_closed_with_4401",
        "security/test_secrets.py::test_a_credential_in_a_frame_is_no_credential",
        "endpoints/test_dialogue.py::test_without_a_valid_credential_it_is_closed_with_4401_and_nothing_is_held",
        "endpoints/test_graphqlsockets.py::test_who_says_nothing_is_closed_after_three_seconds",
        "endpoints/test_graphqlsockets.py::test_a_strangers_message_is_not_even_taken_in_beyond_16_kib",
        "endpoints/test_graphqlsockets.py::test_other_messages_do_not_put_the_initialisation_off",
        "endpoints/test_graphqlsockets.py::test_what_may_not_come_closes_with_the_protocols_code",
    ],
    29: [
        "security/test_bodies.py::test_the_body_of_a_stranger_is_not_waited_for",
        "security/test_requests.py::test_who_shows_no_credential_gets_no_subscription_and_no_place_in_a_queue",
        "protocols/test_socketio.py::test_nothing_is_kept_for_a_namespace_that_is_not_connected",
        "endpoints/test_engine.py::test_of_sessions_that_nobody_vouches_for_the_oldest_go",
    ],
    30: [
        "auth/test_gate.py::test_after_too_many_failures_even_a_good_credential_is_not_looked_at",
        "auth/test_gate.py::test_addresses_of_one_ipv6_network_are_counted_together",
        "auth/test_throttle.py::test_the_table_is_bounded_and_forgets_whoever_was_quiet_longest",
        "endpoints/test_management.py::test_failed_logins_of_an_address_are_throttled_over_all_doors",
        "security/test_strangers.py::test_a_strangers_page_locks_its_visitor_out_of_nothing",
        "security/test_strangers.py::test_who_guesses_as_a_strangers_page_would_is_counted_as_such_pages_are",
    ],
    31: [
        "security/test_logs.py::test_no_secret_stays_in_a_text_whatever_stands_around_it",
        "security/test_secrets.py::test_no_clear_secret_is_in_the_file_its_log_a_backup_or_any_answer_of_a_running_server",
        "security/test_secrets.py::test_a_ticket_in_a_url_is_worthless_once_used_or_old",
        "security/test_secrets.py::test_what_is_read_at_an_address_with_a_credential_does_not_pass_the_address_on",
    ],
    32: ["security/test_logs.py::test_a_peers_text_can_neither_begin_a_line_nor_move_the_cursor"],
    33: [
        "auth/test_tokens.py::test_an_attack_is_refused_with_the_same_words",
        "auth/test_tokens.py::test_an_hmac_made_with_the_public_key_is_refused",
        "auth/test_tokens.py::test_keys_that_a_header_brings_along_are_ignored",
    ],
    34: [
        "auth/test_claims.py::test_a_claim_that_does_not_hold_is_refused",
        "auth/test_tokens.py::test_a_secret_shorter_than_its_hash_stops_the_start_and_is_not_shown",
    ],
    35: [
        "auth/test_jwks.py::test_unknown_kids_cause_one_fetch_in_five_minutes_however_many_they_are",
        "auth/test_jwks.py::test_a_url_that_is_not_https_is_refused_at_the_start",
        "auth/test_jwks.py::test_a_failed_fetch_keeps_the_old_keys_and_is_tried_again_soon",
    ],
    36: [
        "security/test_process.py::test_each_dependency_is_new_enough_to_be_safe",
        "security/test_process.py::test_only_the_token_module_uses_the_token_library",
    ],
    37: [
        _MATRIX,
        "security/test_matrix.py::test_development_opens_more_to_tokens_and_to_nobody_else",
        "security/test_matrix.py::test_the_matrix_has_thousands_of_cases",
        "auth/test_grants.py::test_no_pattern_however_wide_opens_the_notifications_of_others",
        _RESOURCES,
        "security/test_resources.py::test_at_each_door_private_models_and_jobs_of_others_are_closed",
        "endpoints/test_jobs.py::test_a_user_reads_its_own_job_at_every_door_and_nobody_elses",
        "endpoints/test_jobs.py::test_a_user_hears_no_more_of_a_job_that_is_forgotten_and_its_stream_ends",
        "domain/test_models.py::test_a_private_model_is_for_the_backend_editors_and_tokens_that_name_it",
        "domain/test_models.py::test_a_model_that_becomes_private_ends_the_subscriptions_of_those_it_is_not_for",
        "endpoints/test_records.py::test_who_listens_when_a_model_becomes_private_hears_nothing_from_then_on",
    ],
    39: [
        _COSTLY,
        "security/test_graphql.py::test_costly_variables_are_refused_at_every_door_within_50_ms",
        "security/test_graphql.py::test_without_introspection_the_schema_is_told_at_no_door",
    ],
    40: [
        _MATRIX,
        "endpoints/test_conversations.py::test_who_is_removed_reads_no_history_and_posts_no_more",
        "endpoints/test_conversations.py::test_a_poll_that_waits_while_its_user_is_removed_gets_nothing",
        "endpoints/test_conversations.py::test_a_right_that_is_taken_away_while_a_subscription_begins_ends_it",
        "endpoints/test_conversations.py::test_who_is_removed_hears_nothing_that_is_said_afterwards",
        "endpoints/test_conversations.py::test_a_stream_of_who_is_removed_ends_and_says_why",
        "endpoints/test_streamsockets.py::test_who_lost_the_right_while_away_gets_nothing_of_what_it_missed",
        "endpoints/test_graphqlsockets.py::test_a_right_that_is_taken_away_ends_its_operations_with_an_error",
        "endpoints/test_graphqlsockets.py::test_a_right_that_is_taken_away_while_one_subscribes_ends_the_operation",
        "endpoints/test_records.py::test_a_poll_that_waits_while_a_model_becomes_private_gets_nothing",
    ],
    42: [
        "security/test_process.py::test_the_default_address_is_loopback",
        "endpoints/test_management.py::test_the_operators_calls_are_closed_to_everyone_else",
        "endpoints/test_graphql.py::test_without_dev_a_browser_is_shown_no_page",
        "auth/test_logins.py::test_a_cookie_stands_for_the_operator_whose_key_was_shown",
        "endpoints/test_logins.py::test_an_admin_key_buys_a_session_that_counts_under_api_and_for_metrics_alone",
        "endpoints/test_logins.py::test_the_cookie_is_for_no_script_no_other_site_and_is_random",
        "endpoints/test_logins.py::test_over_tls_the_cookie_is_for_tls_alone",
        "endpoints/test_logins.py::test_wrong_keys_are_limited_as_at_any_door",
        "endpoints/test_logins.py::test_no_page_of_another_origin_or_port_changes_anything_with_the_cookie",
        "endpoints/test_logins.py::test_a_login_never_takes_over_the_cookie_that_a_browser_brings",
        "endpoints/test_logins.py::test_a_revoked_key_ends_its_sessions_and_their_streams_at_once",
        "endpoints/test_live.py::test_it_is_for_the_operator_alone",
        "endpoints/test_live.py::test_with_the_cookie_it_opens_for_our_own_page_alone",
        "console/test_console.py::test_what_others_write_is_text_and_never_markup",
        "console/test_console.py::test_the_page_breaks_no_rule_of_its_policy_which_is_strict",
    ],
    43: [
        _COSTLY,
        "security/test_graphql.py::test_several_operations_in_one_request_are_refused",
        "security/test_graphql.py::test_a_subscription_has_one_root_field",
        "security/test_graphql.py::test_a_socket_carries_as_many_operations_as_the_setting_allows",
        "security/test_graphql.py::test_without_introspection_the_schema_is_told_at_no_door",
        "protocols/test_graphqllimits.py::test_a_document_that_would_cost_much_is_refused_within_50_ms",
        "protocols/test_graphqllimits.py::test_the_largest_documents_that_are_legal_take_no_longer",
        "protocols/test_graphqllimits.py::test_each_limit_is_the_last_that_is_legal",
    ],
    44: [
        _CORPUS,
        "clients/test_graphql_clients.py::test_the_client_is_told_what_it_did_wrong",
        "endpoints/test_graphqlsockets.py::test_what_may_not_come_closes_with_the_protocols_code",
        "protocols/test_graphqlws.py::test_each_message_does_in_each_state_what_the_protocol_says",
        "protocols/test_graphqlws.py::test_what_is_no_message_of_a_client_closes_with_4400",
    ],
    45: [
        "endpoints/test_engine.py::test_a_payload_that_cannot_be_read_is_400_and_the_session_is_over",
        "endpoints/test_engine.py::test_a_handshake_that_is_of_no_session_opens_no_websocket",
        "endpoints/test_engine.py::test_an_upgrade_of_another_revision_is_refused",
        "endpoints/test_engine.py::test_a_second_poll_at_once_is_400_and_closes_the_session",
        "endpoints/test_engine.py::test_a_second_post_at_once_is_400_and_closes_the_session",
        "protocols/test_engineio.py::test_a_payload_that_cannot_be_read_is_refused",
        "protocols/test_engineio.py::test_sixteen_packets_are_a_payload",
        "protocols/test_engineio.py::test_eight_megabytes_of_separators_take_less_than_50_ms",
    ],
    46: [
        "endpoints/test_socketio.py::test_what_breaks_the_format_disconnects_and_fails_nothing",
        "endpoints/test_socketio.py::test_a_packet_whose_attachments_do_not_come_is_dropped_after_10_seconds",
        "protocols/test_socketio.py::test_what_breaks_the_format_is_refused",
        "protocols/test_socketio.py::test_a_placeholder_names_an_attachment_that_came",
        "protocols/test_socketio.py::test_an_attachment_stands_in_one_place_only",
        "protocols/test_socketio.py::test_the_attachments_of_a_packet_are_bounded_together",
    ],
    47: [
        "protocols/test_sse.py::test_where_a_client_left_off",
        "protocols/test_sse.py::test_line_ends_in_data_start_no_field",
        "protocols/test_sse.py::test_a_field_with_a_line_end_or_nul_is_not_made",
        "endpoints/test_sse.py::test_what_cannot_be_read_as_a_place_is_said_and_ends_nothing",
        "transports/test_eventstream.py::test_a_stream_is_answered_with_the_headers_that_keep_it_flowing",
    ],
    50: [
        "transports/test_addresses.py::test_a_private_address_only_where_the_setting_allows_it",
        "transports/test_addresses.py::test_metadata_multicast_and_addresses_with_others_inside_may_never_be_reached",
        "transports/test_addresses.py::test_an_address_in_any_spelling_is_one",
        "transports/test_outbound.py::test_a_url_that_leads_where_it_may_not_is_refused_at_once",
        "transports/test_outbound.py::test_a_name_that_leads_inside_is_refused",
        "transports/test_outbound.py::test_one_forbidden_address_among_others_is_enough",
        "transports/test_outbound.py::test_a_name_server_that_answers_twice_differently_is_asked_once",
        "transports/test_outbound.py::test_at_the_connection_as_well_a_spelling_does_not_matter",
        "transports/test_outbound.py::test_a_redirect_is_not_followed",
        "transports/test_outbound.py::test_proxies_of_the_environment_are_not_used",
        "transports/test_outbound.py::test_of_an_answer_without_end_the_status_counts_and_the_rest_is_cut",
        "transports/test_outbound.py::test_an_endpoint_that_does_not_answer_is_given_up_in_time",
        "transports/test_outbound.py::test_a_certificate_is_checked_against_the_name_and_not_the_address",
        "endpoints/test_webhooks.py::test_an_endpoint_in_the_own_network_is_refused_unless_a_setting_allows_it",
        "endpoints/test_webhooks.py::test_an_endpoint_of_another_name_that_leads_inside_is_refused_at_each_connection",
        "protocols/test_webhooks.py::test_the_reference_library_takes_the_signature_and_no_other_body_id_or_time",
        "protocols/test_webhooks.py::test_an_old_message_is_not_taken_again",
    ],
    51: [
        "security/test_process.py::test_every_file_that_is_made_is_for_its_owner_only_whatever_the_umask",
        "security/test_process.py::test_a_file_that_the_world_can_read_is_closed_to_it_at_the_start",
        "security/test_process.py::test_secrets_can_be_given_without_standing_in_the_list_of_processes",
    ],
    52: [
        "security/test_process.py::test_every_statement_is_a_constant_and_values_are_bound",
        "security/test_process.py::test_a_connection_trusts_no_schema_and_loads_no_extension",
    ],
    53: ["security/test_requests.py::test_no_path_leads_to_a_file"],
    54: [
        "security/test_process.py::test_each_dependency_is_new_enough_to_be_safe",
        "security/test_process.py::test_every_package_in_the_lock_has_a_hash",
        "security/test_process.py::test_the_linters_security_rules_are_on_and_each_exception_gives_its_reason",
        "security/test_process.py::test_bandit_is_run_and_leaves_out_only_what_ruff_checks_line_by_line",
    ],
    55: [
        "security/test_process.py::test_the_default_address_is_loopback",
        "security/test_process.py::test_a_fresh_server_refuses_an_anonymous_publish_over_every_door",
        "security/test_process.py::test_dev_refuses_everything_but_loopback",
    ],
}

FINDINGS: Final[dict[str, list[str]]] = {
    "F1": [  # one packet ends a trio-websocket server
        _CORPUS,
        "transports/test_sockets.py::test_a_reset_before_the_answer_is_nobodys_fault",
        "transports/test_firewall.py::test_one_connection_ends_and_no_other_notices",
        "security/test_process.py::test_nothing_serves_connections_but_our_own_listener",
    ],
    "F2": [  # one packet ends Hypercorn's Trio worker
        _CORPUS,
        "transports/test_websocket.py::test_a_frame_in_the_handshakes_own_segment_works",
        "security/test_process.py::test_nothing_serves_connections_but_our_own_listener",
    ],
    "F3": [  # clients that never read keep Hypercorn from stopping
        "faults/test_stopping.py::test_100_clients_that_never_read_do_not_keep_the_server_from_stopping_in_time",
        "faults/test_stopping.py::test_100_clients_that_never_read_do_not_keep_the_server_from_stopping_in_10_s",
        "faults/test_stopping.py::test_server_that_lets_its_connections_finish_does_not_stop_in_time",
        "transports/test_http.py::test_a_peer_that_never_reads_is_given_up_after_the_write_timeout",
    ],
    "F4": [  # fragments without end
        "transports/test_websocket.py::test_more_than_1024_fragments_of_one_message_are_closed",
        "transports/test_websocket.py::test_one_frame_in_single_bytes_is_closed_before_it_fills_the_memory",
        "security/test_floods.py::test_after_a_short_flood_latency_and_memory_are_what_they_were",
    ],
    "F5": [  # Quart's WebSockets
        "transports/test_websocket.py::test_an_empty_message_is_a_message",
        "conformance/test_autobahn.py::test_all_301_cases_of_autobahn_pass_but_for_those_known_as_not_strict",
    ],
    "F6": [  # megabytes in the kernel for each client that does not read
        "faults/test_stopping.py::test_client_that_stopped_reading_costs_the_kernel_less_than_400_kib",
        "faults/test_stopping.py::test_with_the_send_buffer_that_linux_grows_to_the_kernel_would_hold_more",
        "transports/test_sockets.py::test_accepted_sockets_have_the_send_buffer_and_the_timeout_of_the_settings",
    ],
    "F7": [  # SQLite's WAL-reset bug: two connections that write
        "store/test_database.py::test_reader_cannot_write",
        "store/test_database.py::test_one_connection_alone_can_write_and_checkpoint",
        "store/test_lock.py::test_second_server_on_the_same_file_is_refused",
    ],
    "F8": [  # a backup in steps never ends
        "faults/test_backup_under_load.py::test_backup_of_100_mb_under_steady_writes_is_whole_and_holds_no_publisher_up",
        "faults/test_backup_under_load.py::test_backup_in_small_steps_would_not_come_to_an_end",
    ],
    "F9": [  # an audit that passes when it knows nothing
        "security/test_process.py::test_each_dependency_is_new_enough_to_be_safe",
        "security/test_process.py::test_the_floors_in_pyproject_are_the_safe_versions",
        "security/test_process.py::test_bandit_is_run_and_leaves_out_only_what_ruff_checks_line_by_line",
    ],
    "F10": [  # HTTP/2 on the clear port
        _CORPUS,
        _HEAD,
        "transports/test_head.py::test_a_malformed_request_line_is_refused",
    ],
}
"""What was found in the packages below us (``reliability.md``, section 0), and the tests that show it is not so here."""

LATER: Final[dict[int, str]] = {
    29: "Y.Doc after the credential, with Yjs",
    37: "Yjs in the matrix, with that",
    38: "with Yjs",
    41: "with Redis",
    48: "with Yjs",
    49: "with Redis",
}
