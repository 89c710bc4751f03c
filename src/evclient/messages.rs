//! The texts of the menu and of the message client, in English or Chinese.

/// The texts in one language.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The list of commands, as in the legacy clients.
    pub menu: &'static str,
    /// The prompt for a command.
    pub prompt: &'static str,
    /// Printed after a list.
    pub listed: &'static str,
    /// Printed after the name of a downloaded file.
    pub downloaded: &'static str,
    /// Printed after the name of an uploaded file.
    pub uploaded: &'static str,
    /// Printed for an unknown command.
    pub unknown: &'static str,
    /// Printed at the end of the session.
    pub farewell: &'static str,
    /// The prompt for a message.
    pub message: &'static str,
    /// Printed before the reply to a message.
    pub answer: &'static str,
}

const ENGLISH: Messages = Messages {
    menu: "
============== commands ==============
********** list **********************
********** get FILE... [--to PATH] ***
********** put FILE... [--as NAME] ***
********** quit **********************
======================================",
    prompt: "command >> ",
    listed: "that is all",
    downloaded: "downloaded",
    uploaded: "uploaded",
    unknown: "list, get FILE..., put FILE... or quit",
    farewell: "goodbye",
    message: "message >> ",
    answer: "answer: ",
};

const CHINESE: Messages = Messages {
    menu: "
==============命令选项================
********** list **********************
********** get file... [--to path] ***
********** put file... [--as name] ***
********** quit **********************
======================================",
    prompt: "输入命令>>",
    listed: "文件展示完毕",
    downloaded: "下载完成",
    uploaded: "上传完毕",
    unknown: "请输入正确命令!",
    farewell: "欢迎使用",
    message: "发送>>>",
    answer: "客户端收到:",
};

impl Messages {
    /// Selects the language by the environment variables of locale(7).
    pub(crate) fn of_environment() -> Messages {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let language = set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG"));
        if language.is_some_and(|language| language.starts_with("zh")) { CHINESE } else { ENGLISH }
    }
}
