//! What the menu says, in English or Chinese.

/// The menu's words.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The menu, as the documents have it.
    pub menu: &'static str,
    /// The prompt of the menu.
    pub prompt: &'static str,
    /// Behind a list.
    pub listed: &'static str,
    /// Behind a download, after its name.
    pub downloaded: &'static str,
    /// Behind an upload, after its name.
    pub uploaded: &'static str,
    /// To what is no command.
    pub unknown: &'static str,
    /// At the end.
    pub farewell: &'static str,
    /// The prompt for a message.
    pub message: &'static str,
    /// Before an answer to a message.
    pub answer: &'static str,
}

const ENGLISH: Messages = Messages {
    menu: "
========== commands ==========
*********** list *************
*********** get FILE *********
*********** put FILE *********
*********** quit *************
==============================",
    prompt: "command >> ",
    listed: "that is all",
    downloaded: "downloaded",
    uploaded: "uploaded",
    unknown: "list, get FILE, put FILE or quit",
    farewell: "goodbye",
    message: "message >> ",
    answer: "answer: ",
};

const CHINESE: Messages = Messages {
    menu: "
==========命令选项===========
********** list *********
********** get file ******
********** put file ******
********** quit *********
=============================",
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
    /// In the language of the environment (locale(7)).
    pub(crate) fn of_environment() -> Messages {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let language = set("LC_ALL").or_else(|| set("LC_MESSAGES")).or_else(|| set("LANG"));
        if language.is_some_and(|language| language.starts_with("zh")) { CHINESE } else { ENGLISH }
    }
}
