//! Properties of all expressions.

use arrow_array::{Array as _, BooleanArray};
use proptest::prelude::*;

use super::{
    super::{
        ast::{ArithmeticOp, Column, CompareOp, Expr, Function, List, Literal, Node, Step},
        bind,
    },
    rows, schema,
};
use crate::kit::{
    filters::{compile, parse},
    pools,
};

fn node(node: Node) -> Expr {
    // Display and equality of trees only use the node.
    Expr { at: 0, depth: 1, node }
}

fn list_of(items: Vec<Expr>) -> List {
    let mut list = List::default();
    items.into_iter().for_each(|item| list.push(item, &mut pools::ample()).unwrap());
    list
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(Literal::Float),
        any::<String>().prop_map(Literal::Str),
    ]
}

fn column() -> impl Strategy<Value = Column> {
    let step = prop_oneof![any::<u64>().prop_map(Step::Index), "[^\u{0}]+".prop_map(Step::Key)];
    let name = prop_oneof![
        Just("$meta".to_owned()),
        "[a-z_][a-zA-Z0-9_]{3,6}"
            .prop_filter("a keyword", |n| { !["true", "like", "exists", "false"].contains(&n.as_str()) }),
    ];
    (name, prop::collection::vec(step, 0..3)).prop_map(|(name, path)| Column { name, path })
}

fn compare_op() -> impl Strategy<Value = CompareOp> {
    use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
    prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge])
}

fn tree() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        literal().prop_map(|v| node(Node::Literal(v))),
        column().prop_map(|v| node(Node::Column(v))),
        column().prop_map(|v| node(Node::Exists(v))),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        use ArithmeticOp::{Add, Divide, Modulo, Multiply, Power, Subtract};
        use CompareOp::{Ge, Gt, Le, Lt};
        let some = || inner.clone().prop_map(Box::new);
        let list = prop::collection::vec(inner.clone(), 0..4);
        let chain = prop::collection::vec(inner.clone(), 2..4);
        let arithmetic = prop::sample::select(vec![Add, Subtract, Multiply, Divide, Modulo, Power]);
        let range = prop::sample::select(vec![(Lt, Lt), (Lt, Le), (Le, Lt), (Gt, Gt), (Ge, Gt), (Ge, Ge)]);
        let function = prop::sample::select(vec![
            Function::Contains,
            Function::ContainsAll,
            Function::ContainsAny,
            Function::ArrayLength,
        ]);
        prop_oneof![
            list.clone().prop_map(|items| Node::List(list_of(items))),
            chain.clone().prop_map(Node::All),
            chain.prop_map(Node::Any),
            some().prop_map(Node::Not),
            some()
                .prop_filter("folded by the parser", |inner| {
                    !matches!(inner.node, Node::Literal(Literal::Int(_) | Literal::Float(_)))
                })
                .prop_map(Node::Negate),
            (arithmetic, some(), some()).prop_map(|(op, a, b)| Node::Arithmetic(op, a, b)),
            (compare_op(), some(), some()).prop_map(|(op, a, b)| Node::Compare(op, a, b)),
            (range, some(), some(), some()).prop_map(|((op1, op2), a, b, c)| Node::Range(a, op1, b, op2, c)),
            (some(), list.clone(), any::<bool>()).prop_map(|(value, list, negated)| Node::In {
                value,
                list: list_of(list),
                negated
            }),
            (some(), any::<String>()).prop_map(|(value, pattern)| Node::Like(value, pattern)),
            (function, list).prop_map(|(function, list)| Node::Call(function, list)),
        ]
        .prop_map(node)
    })
}

/// Words of the language in any order: they get further into the parser than random characters.
fn babble() -> impl Strategy<Value = String> {
    let words = vec![
        "id",
        "i8",
        "s",
        "js",
        "arr",
        "js[\"k\"]",
        "arr[0]",
        "$meta",
        "nosuch",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        "and",
        "or",
        "not",
        "in",
        "like",
        "exists",
        "[",
        "]",
        "(",
        ")",
        ",",
        "1",
        "0",
        "-",
        "+",
        "*",
        "/",
        "%",
        "**",
        "1.5",
        "'a%'",
        "true",
        "9223372036854775807",
        "json_contains",
        "array_length",
        "array_contains_all",
    ];
    prop::collection::vec(prop::sample::select(words), 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn printed_trees_parse_back(tree in tree()) {
        let text = tree.to_string();
        let parsed = parse(&text).map_err(|e| TestCaseError::fail(format!("{e}")))?;
        prop_assert_eq!(parsed, Some(tree), "{}", text);
    }

    #[test]
    fn any_text_has_a_result(text in any::<String>()) {
        let _ = compile(&text, &schema());
    }

    #[test]
    fn any_words_have_a_result(text in babble()) {
        if let Ok(Some(bound)) = compile(&text, &schema()) {
            let bits = bound.evaluate(&rows()).map_err(|e| TestCaseError::fail(format!("{e}")))?;
            prop_assert_eq!((bits.len(), arrow_array::Array::null_count(&bits)), (5, 0));
        }
    }

    #[test]
    fn any_tree_has_a_result(tree in tree()) {
        if let Ok(bound) = bind("", &tree, &schema(), pools::ample()) {
            bound.evaluate(&rows()).map_err(|e| TestCaseError::fail(format!("{e}")))?;
        }
    }

    #[test]
    fn complements(text in babble()) {
        let (schema, batch) = (schema(), rows());
        if let (Ok(Some(plain)), Ok(Some(negated))) = (compile(&text, &schema), compile(&format!("not ({text})"), &schema)) {
            let plain = plain.evaluate(&batch).unwrap();
            let complement = BooleanArray::new(!plain.values(), plain.nulls().cloned());
            prop_assert_eq!(complement, negated.evaluate(&batch).unwrap());
        }
    }
}
