// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask plugins`: the sample in each language.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;
use crate::samples::{self, Language};

/// Builds every sample that can be built here; the others are named, with how to get what lacks.
pub(crate) fn run(context: &Context) -> Result<ExitCode, Error> {
    let mut code = ExitCode::SUCCESS;
    for language in Language::ALL {
        match samples::build(context, language, &mut Output::Screen) {
            Ok(path) => println!("{}", path.display()),
            Err(error) => {
                eprintln!("{}: not built\n{}", language.name(), error.report());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
