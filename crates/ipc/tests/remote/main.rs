// SPDX-License-Identifier: BSD-3-Clause
//! Channels of a server, used over each transport: one suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod kinds;
mod over;
mod returns;
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
    crate::kinds::what_is_sent_is_received_in_order as what_is_sent_is_received_in_order,
    crate::kinds::a_rendezvous_is_complete_when_it_was_taken as a_rendezvous_is_complete_when_it_was_taken,
    crate::kinds::a_full_channel_keeps_its_sender_waiting as a_full_channel_keeps_its_sender_waiting,
    crate::kinds::a_conflated_channel_keeps_the_latest as a_conflated_channel_keeps_the_latest,
    crate::kinds::an_unlimited_channel_takes_everything as an_unlimited_channel_takes_everything,
    crate::kinds::trying_never_waits as trying_never_waits,
    crate::kinds::long_elements_cross_whole as long_elements_cross_whole,
    crate::kinds::a_timeout_takes_the_element_back as a_timeout_takes_the_element_back,
    crate::kinds::a_set_token_wins as a_set_token_wins,
    crate::kinds::closing_reaches_everybody_with_its_reason as closing_reaches_everybody_with_its_reason,
    crate::kinds::sends_in_flight_end_when_the_channel_closes as sends_in_flight_end_when_the_channel_closes,
    crate::kinds::both_sides_count_alike as both_sides_count_alike,
    crate::returns::a_receive_that_gives_up_takes_nothing as a_receive_that_gives_up_takes_nothing,
    crate::returns::a_window_goes_back_in_order as a_window_goes_back_in_order,
    crate::returns::a_flood_keeps_its_order_though_receives_give_up as a_flood_keeps_its_order_though_receives_give_up,
    crate::returns::two_threads_that_give_up_each_see_a_flood_in_order as two_threads_that_give_up_each_see_a_flood_in_order,
    crate::returns::long_elements_go_back_too as long_elements_go_back_too,
    crate::returns::what_came_ahead_of_a_close_goes_back as what_came_ahead_of_a_close_goes_back,
    crate::returns::a_select_over_local_and_remote_takes_one as a_select_over_local_and_remote_takes_one,
    crate::returns::sends_ahead_stand_in_a_select as sends_ahead_stand_in_a_select,
    crate::returns::coroutines_and_threads_share_a_handle as coroutines_and_threads_share_a_handle,
    crate::over::a_server_that_goes_ends_what_waits as a_server_that_goes_ends_what_waits,
    crate::over::a_client_that_goes_gives_back as a_client_that_goes_gives_back,
    crate::over::what_is_not_there_is_refused as what_is_not_there_is_refused,
    crate::over::many_channels_at_once as many_channels_at_once,
    crate::over::more_than_the_sessions_credit_waits_and_goes_on as more_than_the_sessions_credit_waits_and_goes_on,
}
