// SPDX-License-Identifier: BSD-3-Clause
//! The loop of the screen: waits for news, changes the state, draws.

use becket_chan::{Receiver, Sender};
use ratatui::crossterm::event::Event;

use super::app::{App, Do};
use super::driver::{Ending, News, Order};
use super::screen::Screen;
use super::view::Theme;
use crate::exit::Exit;
use crate::failure::Failure;

/// The effect of one piece of news.
enum Turn {
    Nothing,
    Draw,
    DrawAnew,
    End(Result<Exit, Failure>),
}

/// Shows the state until a key or a signal ends the monitor.
pub(super) fn run(
    app: &mut App,
    theme: Theme,
    news: (&Sender<News>, &Receiver<News>),
    orders: &Sender<Order>,
) -> Result<Exit, Failure> {
    let mut screen = Screen::open(news.0)?;
    let mut asked = None;
    let mut draw = Some(false);
    loop {
        if let Some(anew) = draw.take() {
            screen.draw(app, theme, anew)?;
        }
        let query = app.query();
        // If the driver is busy, the query is sent again with the next news.
        if asked.as_ref() != Some(&query)
            && orders.try_send(Order::Query(Box::new(query.clone()))).is_ok()
        {
            asked = Some(query);
        }
        let mut heard = news.1.recv().wait().ok();
        if heard.is_none() {
            return Ok(Exit::Ok);
        }
        // All queued news are processed before drawing.
        while let Some(one) = heard {
            match take(app, one, orders) {
                Turn::Nothing => {}
                Turn::Draw => draw = Some(draw.unwrap_or(false)),
                Turn::DrawAnew => draw = Some(true),
                Turn::End(outcome) => return outcome,
            }
            heard = news.1.try_recv().ok();
        }
    }
}

fn take(app: &mut App, news: News, orders: &Sender<Order>) -> Turn {
    match news {
        News::Report(report) => app.take(report),
        News::Ended(ending) => {
            app.end(&ending);
            if ending == Ending::TimeUp {
                return Turn::End(Ok(Exit::Ok));
            }
        }
        News::Terminal(Event::Resize(..)) => {}
        News::Terminal(Event::Key(key)) => match app.key(key) {
            Do::Nothing => return Turn::Nothing,
            Do::Draw => {}
            Do::DrawAnew => return Turn::DrawAnew,
            Do::Run(run) => {
                // The driver may have ended already.
                let _ = orders.try_send(Order::Run(run));
            }
            Do::Quit => return Turn::End(Ok(Exit::Ok)),
            Do::Interrupt => return Turn::End(Ok(Exit::Interrupted)),
        },
        News::Terminal(_) => return Turn::Nothing,
        News::Signal => return Turn::End(Ok(Exit::Interrupted)),
        News::Panicked => {
            return Turn::End(Err(
                Failure::new(Exit::Failure, "a thread panicked").cause("its message stands above")
            ));
        }
        News::Deaf(why) => {
            return Turn::End(Err(Failure::new(
                Exit::Failure,
                "the terminal cannot be read any more",
            )
            .cause(why)));
        }
    }
    Turn::Draw
}
