// SPDX-License-Identifier: BSD-3-Clause
//! Channels of a server, used over each transport: one suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod kinds;
mod over;
mod returns;
mod wakers;
mod world;

/// Runs each test of a module over each transport.
macro_rules! over_each {
    ($($test:path as $name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { $test(&crate::world::World::memory()); })*
        }
        mod unix_stream {
            $(#[test] fn $name() { $test(&crate::world::World::unix_stream()); })*
        }
        mod seqpacket {
            $(#[test] fn $name() { $test(&crate::world::World::seqpacket()); })*
        }
        mod shared_memory {
            $(#[test] fn $name() { $test(&crate::world::World::shared_memory()); })*
        }
    };
}

over_each! {
    crate::kinds::elements_are_received_in_order as elements_are_received_in_order,
    crate::kinds::a_rendezvous_completes_with_its_receive as a_rendezvous_completes_with_its_receive,
    crate::kinds::a_full_channel_keeps_its_sender_waiting as a_full_channel_keeps_its_sender_waiting,
    crate::kinds::a_conflated_channel_keeps_the_latest as a_conflated_channel_keeps_the_latest,
    crate::kinds::an_unlimited_channel_takes_everything as an_unlimited_channel_takes_everything,
    crate::kinds::trying_never_waits as trying_never_waits,
    crate::kinds::long_elements_cross_whole as long_elements_cross_whole,
    crate::kinds::a_timeout_withdraws_the_element as a_timeout_withdraws_the_element,
    crate::kinds::a_set_token_wins as a_set_token_wins,
    crate::kinds::closing_wakes_all_with_the_reason as closing_wakes_all_with_the_reason,
    crate::kinds::sends_in_flight_end_when_the_channel_closes as sends_in_flight_end_when_the_channel_closes,
    crate::kinds::both_sides_count_alike as both_sides_count_alike,
    crate::returns::a_receive_that_gives_up_receives_nothing as a_receive_that_gives_up_receives_nothing,
    crate::returns::a_window_is_requeued_in_order as a_window_is_requeued_in_order,
    crate::returns::a_flood_keeps_its_order_though_receives_give_up as a_flood_keeps_its_order_though_receives_give_up,
    crate::returns::two_threads_that_give_up_each_see_a_flood_in_order as two_threads_that_give_up_each_see_a_flood_in_order,
    crate::returns::long_elements_are_requeued_too as long_elements_are_requeued_too,
    crate::returns::prefetched_elements_of_a_closed_receiver_are_requeued as prefetched_elements_of_a_closed_receiver_are_requeued,
    crate::returns::a_client_waits_for_what_dropped_receivers_return as a_client_waits_for_what_dropped_receivers_return,
    crate::returns::a_select_over_local_and_remote_takes_one as a_select_over_local_and_remote_takes_one,
    crate::returns::sends_ahead_work_in_a_select as sends_ahead_work_in_a_select,
    crate::wakers::a_waker_may_use_the_connection as a_waker_may_use_the_connection,
    crate::wakers::a_waker_of_a_send_ahead_may_use_the_connection as a_waker_of_a_send_ahead_may_use_the_connection,
    crate::wakers::a_flush_that_is_polled_again_keeps_one_waker as a_flush_that_is_polled_again_keeps_one_waker,
    crate::wakers::a_waker_in_the_server_may_end_it as a_waker_in_the_server_may_end_it,
    crate::returns::coroutines_and_threads_share_a_handle as coroutines_and_threads_share_a_handle,
    crate::over::the_end_of_a_server_ends_waiting_operations as the_end_of_a_server_ends_waiting_operations,
    crate::over::elements_of_a_client_that_ends_are_requeued as elements_of_a_client_that_ends_are_requeued,
    crate::over::missing_channels_are_refused as missing_channels_are_refused,
    crate::over::many_channels_at_once as many_channels_at_once,
    crate::over::elements_beyond_the_sessions_credit_wait_and_continue as elements_beyond_the_sessions_credit_wait_and_continue,
}
