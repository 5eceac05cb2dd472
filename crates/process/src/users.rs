// SPDX-License-Identifier: BSD-3-Clause
//! Names of users and groups, as the files in `/etc` have them.

use std::fs;

use becket_sandbox::User;

use crate::protocol::Failed;
use crate::start::failed;

/// The user of this name or number, with this group or the user's own.
pub(crate) fn resolve(user: &str, group: Option<&str>) -> Result<User, Failed> {
    let users = read("/etc/passwd")?;
    let entry = line(&users, user);
    let number = |text: &str| text.parse::<u32>().ok();
    let uid = number(user).or_else(|| number(entry.as_ref()?.get(2)?)).ok_or_else(|| {
        failed(format!("there is no user `{user}`"), "", "name one of /etc/passwd, or a number")
    })?;
    let gid = match group {
        Some(group) => {
            let groups = read("/etc/group")?;
            let entry = line(&groups, group);
            number(group).or_else(|| number(entry.as_ref()?.get(2)?)).ok_or_else(|| {
                let hint = "name one of /etc/group, or a number";
                failed(format!("there is no group `{group}`"), "", hint)
            })?
        }
        None => entry.as_ref().and_then(|entry| number(entry.get(3)?)).ok_or_else(|| {
            failed(format!("the group of user `{user}` is not known"), "", "name it: `group`")
        })?,
    };
    Ok(User { uid, gid })
}

fn read(path: &str) -> Result<String, Failed> {
    fs::read_to_string(path).map_err(|error| failed(format!("cannot read {path}"), error, ""))
}

/// The fields of a line whose first one is the name, or whose third one is the number.
fn line<'a>(text: &'a str, wanted: &str) -> Option<Vec<&'a str>> {
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| {
        fields.first().is_some_and(|name| *name == wanted)
            || fields.get(2).is_some_and(|number| *number == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_have_names_and_numbers() {
        let root = User { uid: 0, gid: 0 };
        for (user, group) in [("root", None), ("0", None), ("root", Some("root")), ("0", Some("0"))]
        {
            assert_eq!(resolve(user, group).unwrap(), root);
        }
        assert_eq!(resolve("4000000", Some("7")).unwrap(), User { uid: 4_000_000, gid: 7 });
        let error = resolve("no such user", None).unwrap_err().error;
        assert!(error.contains("no such user"), "{error}");
        assert!(resolve("4000000", None).unwrap_err().error.contains("group"));
    }
}
