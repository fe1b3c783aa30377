namespace Agent.Shell;

/// <summary>Text for a terminal, whoever wrote it.</summary>
internal static class TerminalText
{
    /// <summary>
    /// The text on one line: line breaks and other control characters become blanks, and so do those that reverse the direction of
    /// writing (Unicode, UAX 9), with which a name from outside could make a terminal show another line than the one that stands there.
    /// </summary>
    public static string OneLine(string text)
    {
        static bool Breaks(char c) =>
            char.IsControl(c)
            || c is '\u061c' or '\u200e' or '\u200f' or '\u2028' or '\u2029'
            or (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069');

        return text.Any(Breaks)
            ? string.Create(text.Length, text, static (line, text) =>
            {
                for (var i = 0; i < text.Length; i++)
                {
                    line[i] = Breaks(text[i]) ? ' ' : text[i];
                }
            })
            : text;
    }
}
